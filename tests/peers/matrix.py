"""Calls through the load manager, for every affinity with every selection that it allows, over UDP and over TCP.

Each call must end well, with no stray message and nothing sent twice, and the servers must get the shares that the policy
promises."""

from farm import Farm
from report import Report, calls
from scenario import answering, calling
from sipp import Sipp, all_clean, client

SERVERS = 4
WORKERS = 2
RATE = 400
SELECTIONS = ["hash", "round-robin", "least-loaded", "score", "cjsq", "tjsq", "tlwl"]
HASHES = ["modulo", "cascade", "consistent"]

# Chi-square with three degrees of freedom, exceeded by chance once in a million runs.
CHI_SQUARE_LIMIT = 30.7


def spread_problem(selection, shares):
    """The fault in these shares of the calls, or None."""
    even = sum(shares) / len(shares)
    if selection == "round-robin":
        return f"spread {shares} is not within {WORKERS} of even" if max(shares) - min(shares) > WORKERS else None
    if selection in ("hash", "score"):
        chi_square = sum((share - even) ** 2 / even for share in shares)
        return f"chi-square of {shares} is {chi_square:.1f}" if chi_square > CHI_SQUARE_LIMIT else None
    return f"spread {shares}: a server got more than twice or less than half its share" if max(shares) > 2 * even or min(shares) < even / 2 else None


def run(transport, affinity, selection, hashing):
    count = calls(50, 1000, 10000)
    with Farm(f"matrix-{transport}-{affinity}-{selection}-{hashing}") as farm:
        servers = [Sipp(farm, answering(), farm.address(transport)) for _ in range(SERVERS)]
        front = farm.address(transport)
        options = ["--affinity", affinity, "--selection", selection, "--hash", hashing, "--workers", WORKERS]
        farm.load_manager(front, [server.place for server in servers], *options)
        caller = client(farm, calling(), front, count, RATE, "-d", "50")
        answered = [server.stop() for server in servers]
    shares = [counters.created for counters in answered]
    problems = all_clean(caller, count, answered)
    problems += filter(None, [spread_problem(selection, shares)])
    return f"{caller.good} calls, {caller.failed} failed, spread {shares}", problems


def combinations():
    for selection in SELECTIONS:
        yield "tag", selection, "consistent"
        yield "session", selection, "consistent"
    for hashing in HASHES:
        yield "hash", "hash", hashing


def main():
    report = Report("matrix")
    for transport in ("udp", "tcp"):
        for affinity, selection, hashing in combinations():
            name = f"{transport}/{affinity}/{selection}" + (f"/{hashing}" if affinity == "hash" else "")
            report.case(name, run, transport, affinity, selection, hashing)
    report.end()


if __name__ == "__main__":
    main()
