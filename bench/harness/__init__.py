"""The benchmark suite's harness: peers, workloads, rounds, report."""
