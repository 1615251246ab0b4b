"""`python -m tools.bench` is `smscd bench`."""

from tools.bench.command import bench

bench(prog_name="smscd bench")
