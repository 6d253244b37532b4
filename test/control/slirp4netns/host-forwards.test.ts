import assert from 'node:assert/strict';
import { ipv4 } from '../../../src/base/ip-address.ts';
import { HostForwards } from '../../../src/control/slirp4netns/host-forwards.ts';
import type { PublishSpec } from '../../../src/proxy/ports/publish-spec.ts';
import {
  formatGuestSide,
  formatHostSide,
  PublishError,
} from '../../../src/proxy/ports/publish-spec.ts';

/** A table of ports in which 81 is taken. */
class Ports {
  readonly published = new Map<string, string>();
  private next = 1;

  async publish(spec: PublishSpec): Promise<{ id: string }> {
    if (spec.protocol !== 'unix' && spec.hostPort === 81) {
      throw new PublishError('EADDRINUSE', 'cannot publish it: something listens there already');
    }
    const id = `p${this.next++}`;
    this.published.set(id, `${formatHostSide(spec)} > ${formatGuestSide(spec)}`);
    return { id };
  }

  unpublish(id: string): boolean {
    return this.published.delete(id);
  }

  ownerOf(id: string): 'api' | undefined {
    return this.published.has(id) ? 'api' : undefined;
  }
}

const ADD = { proto: 'tcp', host_addr: '127.0.0.1', host_port: 80, guest_port: 8080 };

describe('control/slirp4netns/host-forwards', () => {
  let ports: Ports;
  let forwards: HostForwards;
  beforeEach(() => {
    ports = new Ports();
    forwards = new HostForwards(ports, ipv4(0x0a00_0264));
  });
  const ask = (execute: string, args?: object): Promise<object> =>
    forwards.answer(
      JSON.stringify({ execute, ...(args === undefined ? {} : { arguments: args }) }),
    );

  for (const [what, changes, expected] of [
    ['an address of the host', {}, '127.0.0.1:80/tcp > 10.0.2.100:8080'],
    ['every address', { host_addr: '0.0.0.0' }, '0.0.0.0:80/tcp > 10.0.2.100:8080'],
    ['no address', { host_addr: undefined }, '0.0.0.0:80/tcp > 10.0.2.100:8080'],
    ['an empty address', { host_addr: '' }, '0.0.0.0:80/tcp > 10.0.2.100:8080'],
    ['IPv6', { host_addr: '::1' }, '[::1]:80/tcp > 10.0.2.100:8080'],
    ['UDP', { proto: 'udp' }, '127.0.0.1:80/udp > 10.0.2.100:8080'],
    ['a guest', { guest_addr: '10.0.2.15' }, '127.0.0.1:80/tcp > 10.0.2.15:8080'],
  ] as const) {
    it(`publishes at ${what}`, async () => {
      assert.deepEqual(await ask('add_hostfwd', { ...ADD, ...changes }), { return: { id: 1 } });
      assert.deepEqual([...ports.published.values()], [expected]);
    });
  }

  it('lists ports as they were asked for, in both places of the answer', async () => {
    await ask('add_hostfwd', ADD);
    await ask('add_hostfwd', { ...ADD, host_port: 82, guest_addr: '10.0.2.15' });
    const entries = [
      { id: 1, ...ADD, guest_addr: '10.0.2.100' },
      { id: 2, ...ADD, host_port: 82, guest_addr: '10.0.2.15' },
    ];
    assert.deepEqual(await ask('list_hostfwd'), { return: { entries }, entries });
  });

  it('removes a port, once', async () => {
    await ask('add_hostfwd', ADD);
    assert.deepEqual(await ask('remove_hostfwd', { id: 1 }), { return: {} });
    assert.equal(ports.published.size, 0);
    assert.deepEqual(await ask('remove_hostfwd', { id: 1 }), {
      error: { desc: 'bad request: remove_hostfwd: bad arguments.id' },
    });
    assert.deepEqual(await ask('list_hostfwd'), { return: { entries: [] }, entries: [] });
  });

  it('lists no port that was withdrawn by others', async () => {
    await ask('add_hostfwd', ADD);
    ports.published.clear();
    assert.deepEqual(await ask('list_hostfwd'), { return: { entries: [] }, entries: [] });
  });

  const refused: readonly [string, string][] = [
    ['{', 'cannot parse JSON'],
    ['', 'cannot parse JSON'],
    ['[]', 'no execute found'],
    ['{}', 'no execute found'],
    ['{"execute":1}', 'no execute found'],
    ['{"execute":"stop"}', 'unknown execute'],
    ['{"execute":"add_hostfwd"}', 'add_hostfwd: bad arguments.proto'],
    ['{"execute":"remove_hostfwd"}', 'remove_hostfwd: bad arguments.id'],
  ];
  for (const [text, desc] of refused) {
    it(`answers '${text}' by an error: ${desc}`, async () =>
      assert.deepEqual(await forwards.answer(text), { error: { desc: `bad request: ${desc}` } }));
  }
  for (const [changes, name] of [
    [{ proto: 'sctp' }, 'proto'],
    [{ host_addr: 'localhost' }, 'host_addr'],
    [{ host_port: 0 }, 'host_port'],
    [{ host_port: 65_536 }, 'host_port'],
    [{ host_port: '80' }, 'host_port'],
    [{ guest_addr: 'x' }, 'guest_addr'],
    [{ guest_port: undefined }, 'guest_port'],
  ] as const) {
    it(`refuses ${JSON.stringify(changes)}`, async () =>
      assert.deepEqual(await ask('add_hostfwd', { ...ADD, ...changes }), {
        error: { desc: `bad request: add_hostfwd: bad arguments.${name}` },
      }));
  }

  it('says why a port cannot be published', async () =>
    assert.deepEqual(await ask('add_hostfwd', { ...ADD, host_port: 81 }), {
      error: {
        desc: 'bad request: add_hostfwd: slirp_add_hostfwd failed: cannot publish it: something listens there already',
      },
    }));
});
