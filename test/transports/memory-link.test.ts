import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { MemoryLink } from '../../src/transports/memory-link.ts';
import { TX_SLAB_LEN, TX_SLABS } from '../../src/transports/stream-writer.ts';
import { contextFor, RecordingAcceptor } from './recorder.ts';

describe('transports/memory-link', () => {
  const open = async () => {
    const host = new RecordingAcceptor();
    const guest = new RecordingAcceptor();
    const link = new MemoryLink(guest, 'memory:test', contextFor(host));
    return { link, host: await host.link(0), guest: await guest.link(0) };
  };

  it('carries frames both ways, a batch a turn, never from inside the call', async () => {
    const { link, host, guest } = await open();
    for (const text of ['one', 'two']) guest.send(Buffer.from(text));
    guest.writer.flush();
    host.send(Buffer.from('three'));
    host.writer.flush();
    assert.deepEqual([host.frames, guest.frames], [[], []]);
    await turn();
    await turn();
    assert.deepEqual(
      host.frames.map(({ bytes }) => String(bytes)),
      ['one', 'two'],
    );
    assert.deepEqual(
      guest.frames.map(({ bytes }) => String(bytes)),
      ['three'],
    );
    assert.deepEqual([host.batches, guest.batches], [1, 1]);
    assert.deepEqual([link.stats.framesToHost, link.stats.framesToGuest], [2, 1]);
    await link.close();
  });

  it('holds as much as a socket link and no more, and says when it drains', async () => {
    const { link, host, guest } = await open();
    const frame = Buffer.alloc(60_000);
    let sent = 0;
    while (guest.send(frame)) {
      sent++;
      assert.ok(sent * frame.length < TX_SLABS * TX_SLAB_LEN, 'bounded');
    }
    guest.writer.flush();
    for (let i = 0; i < 4 * TX_SLABS; i++) await turn();
    assert.equal(host.frames.length, sent);
    assert.equal(guest.writable, 1);
    await link.close();
  });

  it('its end reaches both sides once, and nothing afterwards', async () => {
    const { link, host, guest } = await open();
    guest.send(Buffer.from('late'));
    guest.writer.flush();
    await link.close();
    await link.close();
    await turn();
    await turn();
    assert.deepEqual([host.downs, guest.downs], [1, 1]);
    assert.deepEqual(host.frames, []);
    assert.equal(link.stats.linksOpen, 0);
  });

  it('without room on the segment there is no link', async () => {
    const guest = new RecordingAcceptor();
    const full = { attach: (): undefined => undefined };
    const context = { ...contextFor(guest), acceptor: full };
    assert.throws(() => new MemoryLink(guest, 'memory:test', context), { code: 'ERR_HAWSER_LINK' });
  });
});
