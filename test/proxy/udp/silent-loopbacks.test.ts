import assert from 'node:assert/strict';
import { SILENT_MAX, SILENT_MS, SilentLoopbacks } from '../../../src/proxy/udp/silent-loopbacks.ts';

describe('proxy/udp/silent-loopbacks', () => {
  it('remembers a port of one loopback for a while', () => {
    const silent = new SilentLoopbacks();
    silent.add(1000, '::1', 53);
    assert.ok(silent.has(1000, '::1', 53));
    assert.ok(!silent.has(1000, '127.0.0.1', 53));
    assert.ok(!silent.has(1000, '::1', 54));
    assert.ok(silent.has(999 + SILENT_MS, '::1', 53));
    assert.ok(!silent.has(1000 + SILENT_MS, '::1', 53));
  });

  it('is bounded: the oldest is forgotten', () => {
    const silent = new SilentLoopbacks();
    for (let port = 1; port <= SILENT_MAX; port++) silent.add(0, '::1', port);
    silent.add(1, '::1', 1);
    silent.add(1, '::1', SILENT_MAX + 1);
    assert.deepEqual(
      [1, 2, 3, SILENT_MAX + 1].map((port) => silent.has(1, '::1', port)),
      [true, false, true, true],
    );
  });
});
