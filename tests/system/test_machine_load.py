from __future__ import annotations

from workbench.system.machine_load import busy_share, rate, read_load

STAT = "cpu  {busy} 0 50 {idle} 25 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8\n"
DISKS = """\
   8       0 sda 100 0 {sectors} 5 200 0 4000 5 0 5 5
   8       1 sda1 100 0 9999 5 200 0 9999 5 0 5 5
   7       0 loop0 100 0 9999 5 200 0 9999 5 0 5 5
 253       0 dm-0 100 0 9999 5 200 0 9999 5 0 5 5
"""
NETWORK = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo: 5555       1    0    0    0     0          0         0     5555       1    0    0    0     0       0
  eth0: {received}      1    0    0    0     0          0         0     700       1    0    0    0     0       0
"""


def machine(tmp_path, busy=100, idle=1000, sectors=10, received=300):
    (tmp_path / "net").mkdir(exist_ok=True)
    for disk in ("sda", "loop0", "dm-0"):
        (tmp_path / "block" / disk).mkdir(parents=True, exist_ok=True)
    (tmp_path / "stat").write_text(STAT.format(busy=busy, idle=idle))
    (tmp_path / "diskstats").write_text(DISKS.format(sectors=sectors))
    (tmp_path / "net" / "dev").write_text(NETWORK.format(received=received))
    return read_load(tmp_path, tmp_path / "block")


def test_the_counters_are_those_of_all_cores_whole_disks_and_real_networks(tmp_path):
    load = machine(tmp_path)
    assert (load.busy, load.idle) == (150, 1025)
    assert (load.disk_read, load.disk_written) == (5120, 4000 * 512)
    assert (load.received, load.sent) == (300, 700)


def test_rates_are_increases_per_second(tmp_path):
    before = machine(tmp_path)
    now = machine(tmp_path, busy=200, idle=1300, received=800)
    assert busy_share(before, now) == 0.25
    assert rate(before.received, now.received, 5.0) == 100
    assert rate(before.received, 0.0, 5.0) is None  # reset
    assert rate(None, 1.0, 5.0) is rate(1.0, 2.0, 0.0) is None
    assert busy_share(before, before) is None


def test_a_machine_without_proc_is_unknown(tmp_path):
    load = read_load(tmp_path / "none", tmp_path)
    assert (load.busy, load.disk_read, load.sent, busy_share(load, load)) == (None, None, None, None)


def test_this_machine_has_counters():
    load = read_load()
    assert load.busy > 0 and load.idle > 0
