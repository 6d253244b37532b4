/** Guests read what they were denied, each its own. */
import assert from 'node:assert/strict';
import * as z from 'zod';
import type { SimulatedGuest } from '../../src/lab/guest/simulated-guest.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import { GuestDenials } from '../../src/network/guest-denials.ts';
import type { NetworkHooks } from '../../src/network/hooks/hooks.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { Denials } from '../../src/proxy/policy/denials.ts';
import { ip, TestClock } from '../proxy/recording.ts';
import { testGuest } from '../support/test-guest.ts';
import { duplexPair, guestOnStream } from './attached-guest.ts';

const GATEWAY = '192.168.127.1';
const HOST = '192.168.127.254';
const ANSWER = z.object({
  denials: z.array(z.looseObject({ protocol: z.string(), why: z.string(), count: z.number() })),
});

describe('network: denials, for guests', () => {
  let network: Network;
  const guests: SimulatedGuest[] = [];
  const add = async (): Promise<SimulatedGuest> => {
    const [ours, theirs] = duplexPair();
    network.attach(ours);
    const { guest } = guestOnStream(theirs);
    guests.push(guest);
    await guest.lease();
    return guest;
  };
  const read = async (guest: SimulatedGuest): Promise<readonly string[]> => {
    const { denials } = ANSWER.parse(JSON.parse(await guest.text(`http://${GATEWAY}/v1/denials`)));
    return denials.map(({ protocol, name, address, port, why, count }) =>
      [protocol, name ?? address, port, why, count].join(' '),
    );
  };
  afterEach(async () => {
    await network.close();
    for (const guest of guests.splice(0)) await guest.close();
  });

  it('its own alone, the last one first, with why and how often', async () => {
    network = await createNetwork({ guestApi: true, allow: 'gateway' });
    const one = await add();
    for (let n = 0; n < 2; n++) assert.equal(await one.resolve('evil.test'), '');
    await assert.rejects(one.download(`http://${HOST}:81/`, () => {}));
    assert.deepEqual(await read(one), [
      `tcp ${HOST} 81 default: deny 1`,
      'dns evil.test 0 no rule of names allows that it is asked for 2',
    ]);
  });

  it('what a hook denies too', async () => {
    network = await createNetwork({ guestApi: true, onFlow: () => 'deny' });
    const one = await add();
    await assert.rejects(one.download(`http://${HOST}:81/`, () => {}));
    assert.deepEqual(await read(one), [`tcp ${HOST} 81 program: onFlow denies it 1`]);
  });

  const NAME_HOOKS: readonly [string, string, NetworkHooks][] = [
    ['denies', 'onDns denies it', { onDns: () => 'deny' }],
    ['fails for', 'onDns has failed', { onDns: () => Promise.reject(new Error('broken')) }],
  ];
  for (const [how, why, hooks] of NAME_HOOKS) {
    it(`a name that a hook ${how}, which is an event too`, async () => {
      network = await createNetwork({ guestApi: true, ...hooks });
      const blocks: (string | null)[] = [];
      network.on('block', ({ block }) =>
        blocks.push(block.protocol, block.name, block.why, block.rule),
      );
      const one = await add();
      assert.equal(await one.resolve('evil.test'), '');
      assert.deepEqual(await read(one), [`dns evil.test 0 program: ${why} 1`]);
      assert.deepEqual(blocks, ['dns', 'evil.test', 'program', why]);
    });
  }

  it('a guest that tries everything has a bounded list, and takes none from others', () => {
    const clock = new TestClock();
    const denials = new GuestDenials(new Denials(), clock);
    const flood = testGuest();
    const good = testGuest();
    const block = (owner: typeof flood, port: number): void =>
      denials.onBlock({
        ...{ owner, protocol: 'tcp', remote: ip('169.254.169.254'), port, why: 'link-local' },
      });
    block(good, 80);
    for (let port = 1; port < 10_000; port++) block(flood, port);
    assert.ok(denials.others.budget.held <= denials.others.budget.whole);
    assert.equal(denials.of(flood).length, 256);
    assert.equal(denials.of(flood)[0]?.port, 9_999);
    assert.equal(denials.of(good).length, 1);
    denials.forget(flood);
    assert.deepEqual(denials.of(flood), []);
  });
});
