/** A guest that leaves and comes back on another link keeps its connections. */
import assert from 'node:assert/strict';
import { arpFrame, GATEWAY_IP, GUEST_IP, GUEST_MAC } from '../support/frames.ts';
import { frameOver } from '../support/lend.ts';
import { established, RecordingWriter, type Script } from '../support/script.ts';

/** Attach the guest of `script` by a new link. */
function reattach(script: Script): RecordingWriter {
  const writer = new RecordingWriter();
  const reader = script.stack.attach(script.now, 'again', writer);
  assert.ok(reader !== undefined);
  const frame = arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP);
  reader.onFrame(script.now, frameOver(frame));
  reader.onBatchEnd(script.now);
  writer.take();
  return writer;
}

describe('stack/reattach', () => {
  it('sends what was due at once, whatever the back-off had come to', () => {
    const script = established();
    script.reader.onLinkDown(script.now);
    script.send(100);
    script.advance(20_000);
    const writer = reattach(script);
    script.advance(16);
    assert.equal(writer.take().length, 1);
    assert.deepEqual(script.app.events, []);
  });

  it('ends the connections of a guest that stays away for longer than the grace', () => {
    const script = established({ tcp: { linkDownGraceMs: 5000 } });
    script.reader.onLinkDown(script.now);
    script.send(100);
    script.advance(30_000);
    assert.deepEqual(script.app.events, ['closed:link-down']);
    assert.equal(script.stack.tcp.connectionCount, 0);
    assert.equal(script.stack.tcp.pool.inUse, 0);
  });
});
