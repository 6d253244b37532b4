import assert from 'node:assert/strict';
import { CAPTURED_NETWORK } from '../../bench/replay/captured-network.ts';
import { Player } from '../../bench/replay/player.ts';
import { makeScript } from '../../bench/replay/script.ts';
import { readCapture } from '../golden/support/capture.ts';

describe('bench: replay', () => {
  for (const name of ['tcp-from-guest', 'tcp-to-guest', 'vm-boot']) {
    it(`${name}: every connection opens and closes, in each pass anew`, async () => {
      const player = new Player(
        makeScript(await readCapture(name), CAPTURED_NETWORK.mac),
        CAPTURED_NETWORK,
      );
      const sent: number[] = [];
      for (let pass = 0; pass < 3; pass++) {
        const before = player.link.frames;
        player.play();
        sent.push(player.link.frames - before);
        assert.deepEqual([...player.stack.tcpConnections], []);
      }
      assert.ok(
        sent.every((frames) => frames > 4 && frames === sent[1]),
        sent.join(),
      );
      const drops = Object.keys(player.stack.drops.snapshot());
      assert.deepEqual(
        drops.filter((reason) => reason.startsWith('tcp')),
        [],
      );
    });
  }

  it('the middle of a connection goes on for as long as it is repeated', async () => {
    const script = makeScript(await readCapture('tcp-from-guest'), CAPTURED_NETWORK.mac);
    const flow = script.bursts
      .flatMap(({ frames }) => frames)
      .find(({ payloadLen }) => payloadLen > 1000)?.flow;
    assert.ok(flow !== undefined);
    const player = new Player(script, CAPTURED_NETWORK);
    const repeated = player.open(flow);
    for (let round = 0; round < 100; round++) player.repeat(repeated);
    const info = [...player.stack.tcpConnections][0]?.describe();
    assert.equal(info?.state, 'established');
    assert.equal(info.bytesToHost, 100 * repeated.guestBytes);
    assert.equal(info.retransmits, 0);
  });
});
