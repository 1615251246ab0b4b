// What npm's sms-segments-calculator makes of texts: a JSON array of strings on stdin, on stdout for each
// [encoding chosen, segments].
"use strict";

const { SegmentedMessage } = require("sms-segments-calculator");

const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answers = texts.map((text) => {
  const message = new SegmentedMessage(text);
  return [message.encodingName, message.segmentsCount];
});
process.stdout.write(JSON.stringify(answers));
