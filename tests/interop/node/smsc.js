// node's smpp as an SMSC on a free port: takes any bind and message, sends a receipt for each, can send an MO.
// Prints {"port": N} first. Each line of standard input {"to", "from", "text"} goes to every bound session as an MO;
// each submit_sm is printed as {"submit": {"to", "from", "text", "id"}}, each answered deliver_sm as {"acked": ID}.
'use strict';
const readline = require('readline');
const smpp = require('smpp');

const sessions = new Set();
let next = Date.now() * 1000;

function say(value) { process.stdout.write(JSON.stringify(value) + '\n'); }

function deliver(session, pdu, name) {
  session.deliver_sm(pdu, (answer) => say({ acked: name, command_status: answer.command_status }));
}

const server = smpp.createServer((session) => {
  const bind = (pdu) => { session.send(pdu.response({ system_id: 'nodesmsc' })); sessions.add(session); };
  session.on('bind_transceiver', bind);
  session.on('bind_receiver', bind);
  session.on('bind_transmitter', (pdu) => session.send(pdu.response({ system_id: 'nodesmsc' })));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => { sessions.delete(session); session.send(pdu.response()); session.close(); });
  session.on('error', () => sessions.delete(session));
  session.on('close', () => sessions.delete(session));
  session.on('submit_sm', (pdu) => {
    const id = String(next++);
    const message = pdu.short_message.message;
    const text = Buffer.isBuffer(message) ? message.toString('latin1') : String(message);
    session.send(pdu.response({ message_id: id }));
    say({ submit: { to: pdu.destination_addr, from: pdu.source_addr, text, id } });
    if ((pdu.registered_delivery & 3) !== 1) return;
    const stamp = new Date().toISOString().replace(/\D/g, '').slice(2, 12);
    deliver(session, {
      source_addr_ton: pdu.dest_addr_ton, source_addr_npi: pdu.dest_addr_npi, source_addr: pdu.destination_addr,
      dest_addr_ton: pdu.source_addr_ton, dest_addr_npi: pdu.source_addr_npi, destination_addr: pdu.source_addr,
      esm_class: 4,
      short_message: Buffer.from(`id:${id} sub:001 dlvrd:001 submit date:${stamp} done date:${stamp} `
        + `stat:DELIVRD err:000 text:${text.slice(0, 20)}`, 'latin1'),
    }, id);
  });
});
server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line);
  for (const session of sessions) {
    deliver(session, {
      source_addr_ton: 1, source_addr_npi: 1, source_addr: message.from,
      dest_addr_ton: 0, dest_addr_npi: 1, destination_addr: message.to,
      short_message: Buffer.from(message.text, 'latin1'),
    }, 'mo');
  }
}).on('close', () => process.exit(0));
