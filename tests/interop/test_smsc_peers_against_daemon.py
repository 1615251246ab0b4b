"""The daemon bound to SMSCs that we did not write: messages out, receipts and MOs in."""

from pathlib import Path

import pytest

from tests.interop.esme_peers import Peer
from tests.interop.smsc_peers import SECONDS, running_smsc, smsc_parameters
from tools.children import BenchChild, DemoChild, ending, wait_until

pytestmark = pytest.mark.timeout(180)

COUNT = 100


@pytest.mark.parametrize("peer", smsc_parameters())
def test_messages_go_out_and_receipts_and_mos_come_in(peer: Peer, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with running_smsc(peer, tmp_path / "smsc.log") as smsc:
        demo = DemoChild(tmp_path, "--upstream", f"smpp://interop:secret@127.0.0.1:{smsc.port}")
        with ending(demo):
            demo.start()
            client = BenchChild(tmp_path, "client", "smpp", f"--ready-file={demo.ready_file}", f"--count={COUNT}")
            with ending(client):
                client.start()
                report = client.report(60.0)
            assert (report["accepted"], report["receipts"], report["duplicated"]) == (COUNT, COUNT, 0)
            assert report["stats"] == {"DELIVRD": COUNT}
            wait_until(lambda: len(smsc.acknowledged) >= COUNT, SECONDS, "receipts are acknowledged")
            if peer.name == "node-smpp":
                smsc.send_mo("447700900999", "12345", "hello from a phone")
                wait_until(lambda: len(smsc.acknowledged) > COUNT, SECONDS, "the MO is acknowledged")
            assert demo.stop() == 0
    texts = [submit["text"] for submit in smsc.submits]
    assert len(set(texts)) == len(texts) == COUNT
    assert all(said["command_status"] == 0 for said in smsc.acknowledged)
