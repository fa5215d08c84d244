"""A newer release takes over under calls, engine after engine, beside engines of this build. It is made here, by
next_release.patch: it writes a section into each record that this build does not know, refuses a record whose section somebody has
lost, and raises the record's least reader, so that this build cannot go on with any call that it has touched. It takes a build of
its own: for a machine that has the time, and no part of test.sh. STROWGER_NEXT may name a program that is built already."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

from farm import HERE, ROOT, STROWGER, Farm, until
from kills import BACK_SECONDS, ENGINES, PAUSE_SECONDS, RATE, TIMES, WARM_SECONDS, Scene, engine, judged, now
from parties import Parties
from report import Report, calls
from run import Run
from tier import Cluster, Tier

KILLS = calls(3, 6, 20)
ALONE_KILLS = 3
PATCH = HERE / "next_release.patch"
FOLDER = ROOT / "target/next-release"


def next_release():
    """The program of the next release: what lies here, and the patch."""
    if "STROWGER_NEXT" in os.environ:
        return os.environ["STROWGER_NEXT"]
    source = FOLDER / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    packed = subprocess.run(["tar", "--null", "-T", "-", "-c"], cwd=ROOT, input=files, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x"], cwd=source, input=packed, check=True)
    subprocess.run(["patch", "--quiet", "-p1", "-i", PATCH], cwd=source, check=True)
    build = FOLDER / "build"
    argv = ["cargo", "build", "--quiet", "--release", "-p", "strowger"]
    subprocess.run(argv, cwd=source, env={**os.environ, "CARGO_TARGET_DIR": str(build)}, check=True)
    return str(build / "release/strowger")


def replaced(scene, place, program):
    """The agent at that place is told to end, and its engine with it; another begins, with that program."""
    agent = scene.agents[place]
    agent.popen.terminate()
    began = now()
    agent.wait(BACK_SECONDS)
    # The agent has written down that it drains.
    scene.note(place).unlink(missing_ok=True)
    scene.agent(place, program)
    until(lambda: scene.active(place), "the engine is active", BACK_SECONDS)
    if pathlib.Path(f"/proc/{scene.pid(place)}/exe").resolve() != pathlib.Path(program).resolve():
        raise RuntimeError("the engine is not of the release that it was to be")
    return began


def pause(chance=random.Random("upgrade")):
    time.sleep(chance.uniform(*PAUSE_SECONDS))


def upgraded(kind):
    """Engine after engine is replaced by one of the next release."""
    with Farm(f"upgrade-{kind}") as farm:
        scene = Scene(farm, Cluster(farm, memory="256M") if kind == "cluster" else Tier(farm, kind))
        parties = scene.load()
        time.sleep(WARM_SECONDS)
        moments = []
        for place in scene.places:
            moments.append(replaced(scene, place, NEXT))
            pause()
        return judged(f"{ENGINES} engines replaced on {kind}", parties.finish(), moments, parties)


def beside(newer):
    """So many engines are of the next release, the others of this build; each is killed in turn, and comes back as it was."""
    with Farm(f"upgrade-{newer}-beside") as farm:
        scene = Scene(farm, Tier(farm, "redis"))
        parties = scene.load()
        time.sleep(WARM_SECONDS)
        moments = [replaced(scene, place, NEXT) for place in scene.places[:newer]]
        for number in range(KILLS):
            pause()
            moments.append(engine(scene, number if newer > 1 else 1 + number % 2))
        pause()
        what = f"{KILLS} engines killed, {newer} of {ENGINES} of the next release"
        return judged(what, parties.finish(), moments, parties)


def alone():
    """The only engine of the next release is killed; until its agent has started it again, nobody can read its records. Three
    times, since the agent waits twice as long each time: 1, 2 and 4 s."""
    with Farm("upgrade-alone") as farm:
        scene = Scene(farm, Tier(farm, "redis"))
        parties = scene.load()
        time.sleep(WARM_SECONDS)
        moments = [replaced(scene, scene.places[0], NEXT)]
        for _ in range(ALONE_KILLS):
            pause()
            moments.append(engine(scene, 0))
        pause()
        return judged(f"{ALONE_KILLS} times the only engine of the next release killed", parties.finish(), moments, parties)


def by_run():
    """`strowger run`: the next release lies on the disk in the place of this one, and gets SIGHUP."""
    with Farm("upgrade-run") as farm:
        datagrams, stream, caller, callee = farm.address(), farm.address("tcp"), farm.address(), farm.address()
        path = farm.directory / "run.toml"
        listeners = "".join(f'[[listen]]\naddress = "{place}"\n' for place in (datagrams, stream))
        path.write_text(f'{listeners}[run]\nto = ["sip:{callee.host_port}"]\n')
        run = Run(farm, "--config", path)
        places = {"caller": caller.host_port, "callee": callee.host_port, "front": datagrams.host_port, "stream": stream.host_port}
        parties = Parties(farm, farm.start, **places, rate=RATE, **TIMES)
        time.sleep(WARM_SECONDS)
        new = farm.directory / "strowger.new"
        shutil.copy2(NEXT, new)
        inode = new.stat().st_ino
        new.rename(run.program)
        run.process.popen.send_signal(signal.SIGHUP)
        moments = [now()]
        run.said("upgrade complete", 60)
        fresh = sum(os.stat(f"/proc/{pid}/exe").st_ino == inode for pid in run.tree())
        figures, problems = judged("engines of strowger run replaced", parties.finish(), moments, parties)
        if fresh != 2 * ENGINES:
            problems.append(f"{fresh} processes are of the next release, not {2 * ENGINES}")
        return figures, problems


def main():
    report = Report("upgrade")
    for kind in ("cluster", "redis", "state"):
        report.case(kind, upgraded, kind)
    report.case("two-newer", beside, 2)
    report.case("one-newer", beside, 1)
    report.case("alone", alone)
    report.case("run", by_run)
    report.end()


if __name__ == "__main__":
    NEXT = next_release()
    print(f"this build: {STROWGER}; the next release: {NEXT}", flush=True)
    main()
