-- MySQL dump 10.13
--
-- Host: localhost    Database: opensips
/*!40101 SET @saved_cs_client     = @@character_set_client */;
DROP TABLE IF EXISTS `load_balancer`;
CREATE TABLE `load_balancer` (
  `id` int(10) unsigned NOT NULL AUTO_INCREMENT,
  `group_id` int(11) NOT NULL DEFAULT '0',
  `dst_uri` char(128) NOT NULL,
  `resources` char(255) NOT NULL,
  `probe_mode` int(11) unsigned NOT NULL DEFAULT '0',
  `attrs` char(255) DEFAULT NULL,
  `description` char(128) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `dsturi_idx` (`dst_uri`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1;

LOCK TABLES `load_balancer` WRITE;
INSERT INTO `load_balancer` VALUES
(1,1,'sip:192.0.2.1:5060','pstn=30;voip=200',1,NULL,'gateway 1'),
(2,1,'sip:192.0.2.2:5060','pstn=60;voip=200',1,NULL,'gateway 2'),
(3,1,'sip:192.0.2.3:5060','pstn=90;voip=200',1,NULL,'gateway 3'),
(4,1,'sip:192.0.2.4:5060','pstn=120;voip=200',1,NULL,'gateway 4'),
(5,1,'sip:192.0.2.5:5060','pstn=150;voip=200',1,NULL,'gateway 5'),
(6,1,'sip:192.0.2.6:5060','pstn=180;voip=200',1,NULL,'gateway 6'),
(7,1,'sip:192.0.2.7:5060','pstn=210;voip=200',1,NULL,'gateway 7'),
(8,1,'sip:192.0.2.8:5060','pstn=240;voip=200',1,NULL,'gateway 8'),
(9,1,'sip:192.0.2.9:5060','pstn=270;voip=200',1,NULL,'gateway 9'),
(10,1,'sip:192.0.2.10:5060','pstn=300;voip=200',1,NULL,'gateway 10'),
(11,1,'sip:192.0.2.11:5060','pstn=30',2,NULL,'one resource'),
(12,1,'sip:192.0.2.12:5060','voip=30',2,NULL,'without pstn'),
(13,1,'sip:192.0.2.13:5060','',0,NULL,'no resource'),
(14,1,'sip:192.0.2.14:5060','pstn=fs://:secret@192.0.2.14',0,NULL,'FreeSWITCH'),
(15,1,'sip:192.0.2.15:5060','pstn=0',0,NULL,'none'),
(16,1,'sip:192.0.2.16:5060','pstn=many',0,NULL,'no number'),
(17,1,'sip:192.0.2.17:5060','pstn=99999999',0,NULL,'too many'),
(18,1,'sip:192.0.2.18:5060','pstn',0,NULL,'without a number'),
(19,1,'sip:192.0.2.19:5060','pstn = 60 ; ; voip = 1',1,'strip=2;prefix=00','its \"quoted\", with a line\nend'),
(20,1,'sip:192.0.2.20','pstn=60',9,NULL,'a probe mode of tomorrow'),
(21,1,'sip:192.0.2.21;transport=tcp','pstn=60',1,'','TCP'),
(22,1,'sips:192.0.2.22','pstn=60',1,NULL,'TLS'),
(23,1,'sip:gw.example.com','pstn=60',1,NULL,'a name'),
(24,1,'sip:192.0.2.1:5060','pstn=60',1,NULL,'the first one again'),
(25,1,'sip:[2001:db8::25]','pstn=60',1,NULL,'IPv6'),
(26,2,'sip:203.0.113.26','pstn=182',1,NULL,'second group 26'),
(27,2,'sip:203.0.113.27','pstn=189',1,NULL,'second group 27'),
(28,2,'sip:203.0.113.28','pstn=196',1,NULL,'second group 28'),
(29,2,'sip:203.0.113.29','pstn=203',1,NULL,'second group 29'),
(30,2,'sip:203.0.113.30','pstn=210',1,NULL,'second group 30'),
(31,3,'sip:203.0.113.31;transport=tcp','pstn=100',1,NULL,'third group 31'),
(32,3,'sip:203.0.113.32;transport=tcp','pstn=100',1,NULL,'third group 32'),
(33,3,'sip:203.0.113.33;transport=tcp','pstn=100',1,NULL,'third group 33'),
(34,3,'sip:203.0.113.34;transport=tcp','pstn=100',1,NULL,'third group 34'),
(35,3,'sip:203.0.113.35;transport=tcp','pstn=100',1,NULL,'third group 35'),
(36,4,'sip:198.51.100.36','conf=12;transc=4',1,NULL,'other resources'),
(37,4,'sip:198.51.100.37','conf=12',1,NULL,'other resources'),
(38,-1,'sip:198.51.100.38','pstn=1',1,NULL,'below zero'),
(39,5,'sip:198.51.100.39:70000','pstn=1',1,NULL,'no port'),
(40,5,'not an address','pstn=1',1,NULL,'nothing');
UNLOCK TABLES;
