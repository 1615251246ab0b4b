// node's smpp as an ESME that sends requests of any kind, one after the other, and waits for receipts.
// Plan on standard input: {"host", "port", "system_id", "password", "steps": [{"command", "fields"}], "receipts",
// "seconds"}; a field {"id_of": n} is the message_id that step n was answered. Prints a line of JSON with the answers
// once all steps are done, and at the end one with the receipts.
'use strict';
const fs = require('fs');
const smpp = require('smpp');

const plan = JSON.parse(fs.readFileSync(0, 'utf8'));
const answers = [];
const receipts = [];
const session = smpp.connect({ url: `smpp://${plan.host}:${plan.port}` });
let isDone = false;

function finish() {
  clearTimeout(deadline);
  console.log(JSON.stringify({ receipts }));
  session.unbind({}, () => session.close());
}
const deadline = setTimeout(finish, plan.seconds * 1000);

function known(value) {
  return value && typeof value === 'object' && 'id_of' in value ? answers[value.id_of].message_id : value;
}
function shown(pdu) {
  const fields = {};
  for (const [name, value] of Object.entries(pdu)) {
    if (['string', 'number'].includes(typeof value) || Array.isArray(value)) fields[name] = value;
  }
  return fields;
}
function step(number) {
  if (number === plan.steps.length) {
    console.log(JSON.stringify({ answers }));
    isDone = true;
    if (receipts.length >= plan.receipts) finish();
    return;
  }
  const { command, fields } = plan.steps[number];
  const values = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, known(value)]));
  session[command](values, (pdu) => {
    answers.push(shown(pdu));
    step(number + 1);
  });
}

session.on('error', (error) => { console.error(error); process.exit(1); });
session.on('deliver_sm', (pdu) => {
  session.send(pdu.response());
  const message = pdu.short_message.message;
  const text = Buffer.isBuffer(message) ? message.toString('latin1') : String(message);
  receipts.push({ id: /id:(\S+)/.exec(text)[1], stat: /stat:(\S+)/.exec(text)[1], source: pdu.source_addr });
  if (isDone && receipts.length >= plan.receipts) finish();
});
session.on('connect', () => {
  session.bind_transceiver({ system_id: plan.system_id, password: plan.password }, (bound) => {
    if (bound.command_status !== 0) {
      console.error(`bind refused: ${bound.command_status}`);
      process.exit(1);
    }
    step(0);
  });
});
