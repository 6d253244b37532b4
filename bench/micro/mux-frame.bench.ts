/** Frames of the multiplexer: headers written, and a stream of them cut apart. */
import { makeSlab } from '../../src/base/slab.ts';
import { Decoder } from '../../src/mux/decoder.ts';
import {
  DATA,
  DATA_HEADER_LEN,
  emitDataHeader,
  emitWindow,
  frameCommand,
  frameHeaderLen,
  frameId,
  payloadLen,
  WINDOW_LEN,
  windowLimit,
} from '../../src/mux/frame.ts';
import { emitHandshake } from '../../src/mux/handshake.ts';
import { runSuite } from './suite.ts';

const header = makeSlab(64);
emitDataHeader(header.view, 0, 7, 65_536);
let seen = 0;
runSuite('mux frame headers', {
  'emit Data': () => {
    emitDataHeader(header.view, 0, 7, 65_536);
  },
  'emit Window': () => {
    emitWindow(header.view, 32, 7, 1 << 30);
  },
  'read Data': () => {
    seen += frameHeaderLen(header.view, 0) + frameCommand(header.view, 0) + frameId(header.view, 0);
    seen += payloadLen(header.view, 0);
  },
  'read Window': () => {
    seen += frameId(header.view, 32) + windowLimit(header.view, 32);
  },
});

/** As a channel's session does it: the payload length is in the header. */
const decoder = new Decoder({
  onHandshake() {},
  onHeader: (_now, view, off) => (frameCommand(view, off) === DATA ? payloadLen(view, off) : 0),
  onPayload(_now, _bytes, _off, len) {
    seen += len;
  },
});
const greeting = makeSlab(128);
decoder.onBytes(0, greeting, 0, emitHandshake(greeting.view, 0, undefined));

for (const len of [64, 1460, 65_536]) {
  const each = DATA_HEADER_LEN + len + WINDOW_LEN;
  const count = Math.max(1, Math.floor(262_144 / each));
  const stream = makeSlab(count * each);
  for (let i = 0; i < count; i++) {
    emitDataHeader(stream.view, i * each, i, len);
    emitWindow(stream.view, i * each + DATA_HEADER_LEN + len, i, 1 << 20);
  }
  runSuite(`mux decoder, ${count} Data frames of ${len} bytes with a Window each`, {
    whole: () => {
      decoder.onBytes(0, stream, 0, stream.bytes.length);
    },
    'cut in the middle of a header': () => {
      const cut = Math.min(5, stream.bytes.length);
      decoder.onBytes(0, stream, 0, cut);
      decoder.onBytes(0, stream, cut, stream.bytes.length - cut);
    },
  });
}
if (seen === 0) throw new Error('nothing was read');
