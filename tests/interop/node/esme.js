// node's smpp as an ESME: reads a plan as JSON on standard input, does it, prints what it saw as JSON.
// Plan and result are described in tests/interop/esme_peers.py.
'use strict';
const fs = require('fs');
const smpp = require('smpp');

const plan = JSON.parse(fs.readFileSync(0, 'utf8'));
const result = { answers: [], receipts: [], inbound: [] };
const session = smpp.connect({ url: `smpp://${plan.host}:${plan.port}` });

function finish() {
  clearTimeout(deadline);
  session.unbind({}, () => {
    session.close();
    console.log(JSON.stringify(result));
  });
}
function check() {
  if (result.answers.length >= plan.messages.length && result.receipts.length >= plan.receipts
      && result.inbound.length >= plan.inbound) finish();
}
const deadline = setTimeout(finish, plan.seconds * 1000);

session.on('error', (error) => { console.error(error); process.exit(1); });
session.on('deliver_sm', (pdu) => {
  session.send(pdu.response());
  const message = pdu.short_message.message;
  const text = Buffer.isBuffer(message) ? message.toString('latin1') : String(message);
  if ((pdu.esm_class & 0x3c) === 0x04) {
    result.receipts.push({ id: /id:(\S+)/.exec(text)[1], stat: /stat:(\S+)/.exec(text)[1] });
  } else {
    result.inbound.push(text);
  }
  check();
});
session.on('connect', () => {
  session.bind_transceiver({ system_id: plan.system_id, password: plan.password }, (bound) => {
    if (bound.command_status !== 0) {
      console.error(`bind refused: ${bound.command_status}`);
      process.exit(1);
    }
    console.log('bound');
    for (const message of plan.messages) {
      session.submit_sm({
        source_addr_ton: 5, source_addr_npi: 0, source_addr: message.from,
        dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: message.to,
        short_message: Buffer.from(message.text, 'latin1'), registered_delivery: 1,
      }, (pdu) => {
        result.answers.push({
          text: message.text, command_status: pdu.command_status, message_id: pdu.message_id || '',
        });
        check();
      });
    }
    check();
  });
});
