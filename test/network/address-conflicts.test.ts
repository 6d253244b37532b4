/** Two guests with one address: what the user of the second one sees. */
import assert from 'node:assert/strict';
import type { ConflictEvent } from '../../src/control/events/network-events.ts';
import type { ConflictView } from '../../src/control/network-view.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import type { FrameAttachment } from '../../src/network/links.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { arpFrame, GATEWAY_IP, GUEST_IP, tcpFrame } from '../support/frames.ts';
import { frame6 } from '../support/frames6.ts';

const MAC = 0x5254_0012_3456;
const CLONE_MAC = 0x5254_0012_9999;
const LEASED = '192.168.127.2';

/** All frames have been served. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

describe('network/address-conflicts', () => {
  let network: Network;
  let first: FrameAttachment;
  let second: FrameAttachment;
  const events: ConflictEvent[] = [];

  beforeEach(async () => {
    network = await createNetwork({ staticLease: `52:54:00:12:34:56=${LEASED},build` });
    events.length = 0;
    network.on('conflict', (event) => events.push(event));
    first = network.attach({ write: () => {} });
    second = network.attach({ write: () => {} });
    first.reader.onFrame(arpFrame(1, MAC, GUEST_IP, GATEWAY_IP));
    first.reader.onFrame(frame6(59, [], { src: 'fe80::5', srcMac: MAC }));
    await settled();
  });
  afterEach(() => network.close());

  /** Without what changes from run to run. */
  const shown = ({ sinceMs, lastMs, ...rest }: ConflictView): object => {
    assert.ok(sinceMs >= lastMs && lastMs >= 0 && sinceMs < 10_000);
    return rest;
  };

  it('the Ethernet address of another: in the view, the health, and one event', async () => {
    assert.deepEqual(network.view.conflicts(), { conflicts: [], unlisted: 0 });
    const before = network.view.health().problems;
    for (let n = 0; n < 20; n++) {
      await settled();
      second.reader.onFrame(tcpFrame({ flags: 'S' }, { src: GUEST_IP, srcMac: MAC }));
    }
    await settled();
    const conflict = {
      address: '52:54:00:12:34:56',
      kind: 'ethernet',
      claimant: { guestId: 2, guestName: null, guestMac: '52:54:00:12:34:56', link: second.name },
      owner: { guestId: 1, guestName: 'build', guestMac: '52:54:00:12:34:56', link: first.name },
      times: 20,
    };
    assert.deepEqual(network.view.conflicts().conflicts.map(shown), [conflict]);
    assert.deepEqual(
      events.map(({ kind, conflict: one }) => [kind, shown(one)]),
      [['begun', { ...conflict, times: 1 }]],
    );
    const [problem] = network.view.health().problems.filter((one) => !before.includes(one));
    assert.equal(
      problem,
      `52:54:00:12:34:56, the Ethernet address of build (${first.name}), is claimed by ${second.name}, whose frames with it are dropped: give that VM another Ethernet address.`,
    );
    await second.detach();
    assert.deepEqual(network.view.conflicts().conflicts, []);
    assert.deepEqual(network.view.health().problems, before);
    const kept = network.view.events.kept().filter(({ event }) => event.type === 'conflict');
    assert.equal(kept.length, 1, 'also for who comes later');
  });

  for (const [kind, address, frame] of [
    ['ipv4', LEASED, tcpFrame({ flags: 'S' }, { src: GUEST_IP, srcMac: CLONE_MAC })],
    ['ipv6', 'fe80::5', frame6(59, [], { src: 'fe80::5', srcMac: CLONE_MAC })],
  ] as const) {
    it(`an address of ${kind}`, async () => {
      second.reader.onFrame(frame);
      await settled();
      assert.deepEqual(
        events.map(({ conflict }) => shown(conflict)),
        [
          {
            address,
            kind,
            claimant: {
              guestId: 2,
              guestName: null,
              guestMac: '52:54:00:12:99:99',
              link: second.name,
            },
            owner: {
              guestId: 1,
              guestName: 'build',
              guestMac: '52:54:00:12:34:56',
              link: first.name,
            },
            times: 1,
          },
        ],
      );
    });
  }

  it('of many some are problems, with the number of the others', async () => {
    for (let n = 1; n < 20; n++) {
      first.reader.onFrame(arpFrame(1, MAC, GUEST_IP + n, GATEWAY_IP));
    }
    await settled();
    for (let n = 1; n < 20; n++) {
      second.reader.onFrame(tcpFrame({}, { src: GUEST_IP + n, srcMac: CLONE_MAC }));
    }
    await settled();
    assert.equal(events.length, 8);
    const { conflicts, unlisted } = network.view.conflicts();
    assert.deepEqual([conflicts.length, unlisted], [8, 11]);
    const problems = network.view.health().problems.filter((one) => /claimed/.test(one));
    assert.deepEqual(
      [problems.length, problems[4]],
      [5, '4 more addresses are claimed: see /v1/conflicts.'],
    );
  });
});
