/** Guests that mean ill, and programs with faults of their own: neither ends the other, nor the network. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { IpAddress } from '../../src/base/ip-address.ts';
import { type Log, SILENT } from '../../src/base/log.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import type { FrameAttachment } from '../../src/network/links.ts';
import type { Network } from '../../src/network/network-interface.ts';
import { parsePublish } from '../../src/proxy/ports/publish-text.ts';
import { ipAddress } from '../../src/services/address-text.ts';
import { PROTOCOL_TCP } from '../../src/wire/ipv4.ts';
import { until } from '../proxy/recording.ts';
import {
  arpFrame,
  GATEWAY_IP,
  GUEST_IP,
  GUEST_MAC,
  isArp,
  parseTcp,
  protocolOf,
  type TcpRecord,
  tcpFrame,
} from '../support/frames.ts';
import { duplexPair, guestOnStream } from './attached-guest.ts';

const PORT = 7000;
const GUEST_PORT = 80;

/** A guest that sends what a test has it send. */
class RawGuest {
  readonly link: FrameAttachment;
  private readonly segments: TcpRecord[] = [];

  constructor(network: Network) {
    this.link = network.attach({
      write: (frame) => {
        if (!isArp(frame) && protocolOf(frame) === PROTOCOL_TCP) {
          this.segments.push(parseTcp(frame.slice()));
        }
      },
    });
    this.link.reader.onFrame(arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP));
  }

  /** Frames of one turn are one batch. */
  send(...segments: readonly Partial<TcpRecord>[]): void {
    for (const segment of segments) {
      this.link.reader.onFrame(tcpFrame(segment, { dst: GATEWAY_IP }));
    }
  }

  async heard(flags: string): Promise<TcpRecord> {
    const is = (segment: TcpRecord): boolean => segment.flags === flags;
    await until(() => this.segments.some(is));
    const found = this.segments.find(is);
    assert.ok(found !== undefined);
    return found;
  }

  /** Connect from `sport` to what the program serves. */
  async connect(sport: number): Promise<TcpRecord> {
    this.send({ flags: 'S', seq: 100, sport, dport: PORT, mss: 1460 });
    const answer = await this.heard('SA');
    this.send({ flags: 'A', seq: 101, ack: answer.seq + 1, sport, dport: PORT });
    return answer;
  }
}

/** The exceptions of the process while `run` runs, and until the loop has turned a few times more. */
async function uncaughtOf(run: () => Promise<void>): Promise<unknown[]> {
  const listeners = process.listeners('uncaughtException');
  const caught: unknown[] = [];
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => caught.push(error));
  try {
    await run();
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
  return caught;
}

describe('network: faults of guests and programs', () => {
  let network: Network;

  beforeEach(async () => {
    network = await createNetwork();
  });
  afterEach(() => network.close());

  it('a guest that answers a dial and resets it at once: the dial fails, the program goes on', async () => {
    const guest = new RawGuest(network);
    await until(() => network.view.guests().some(({ addresses }) => addresses.length > 0));
    const uncaught = await uncaughtOf(async () => {
      const dialled = network.dial({ port: GUEST_PORT });
      const syn = await guest.heard('S');
      const ends = { sport: GUEST_PORT, dport: syn.sport, ack: syn.seq + 1 };
      guest.send({ flags: 'SA', seq: 500, ...ends }, { flags: 'RA', seq: 501, ...ends });
      await assert.rejects(dialled, { code: 'ECONNRESET' });
    });
    assert.deepEqual(uncaught, []);
  });

  it('one that stands is handed over with what came at once behind it', async () => {
    const guest = new RawGuest(network);
    await until(() => network.view.guests().some(({ addresses }) => addresses.length > 0));
    const dialled = network.dial({ port: GUEST_PORT });
    const syn = await guest.heard('S');
    const ends = { sport: GUEST_PORT, dport: syn.sport, ack: syn.seq + 1 };
    guest.send(
      { flags: 'SA', seq: 500, ...ends },
      { flags: 'PA', seq: 501, ...ends, data: Buffer.from('hello') },
    );
    const connection = await dialled;
    const [chunk] = await once(connection, 'data');
    assert.equal(`${chunk}`, 'hello');
    connection.destroy();
  });

  it('what a guest had that is gone ends when its grace is over, though nothing else happens', async () => {
    await network.close();
    network = await createNetwork({ linkGrace: 0 });
    const guest = new RawGuest(network);
    await until(() => network.view.guests().some(({ addresses }) => addresses.length > 0));
    const dialled = network.dial({ port: GUEST_PORT });
    const syn = await guest.heard('S');
    const ends = { sport: GUEST_PORT, dport: syn.sport, ack: syn.seq + 1 };
    guest.send({ flags: 'SA', seq: 500, ...ends });
    const connection = await dialled;
    const closed = new Promise((resolve) => connection.once('error', resolve));
    await sleep(200); // nothing is on its way any more
    const begun = performance.now();
    await guest.link.detach();
    await closed;
    assert.ok(performance.now() - begun < 300);
  });

  it('a listener of data that throws: an uncaught exception of the program, and the end of its connection alone', async () => {
    const guest = new RawGuest(network);
    const server = network.listen({ port: PORT });
    const clients = server[Symbol.asyncIterator]();
    const fault = new Error('of the program');
    const uncaught = await uncaughtOf(async () => {
      const next = clients.next();
      const answer = await guest.connect(40_000);
      const { value: connection } = await next;
      assert.ok(connection !== undefined);
      connection.on('error', () => {});
      let calls = 0;
      connection.on('data', () => {
        calls++;
        throw fault;
      });
      const ends = { sport: 40_000, dport: PORT, ack: answer.seq + 1 };
      const closed = once(connection, 'close');
      guest.send({ flags: 'PA', seq: 101, ...ends, data: Buffer.from('hello') });
      await closed;
      assert.equal(calls, 1);
    });
    assert.deepEqual(uncaught, [fault]);
    assert.deepEqual(network.view.counters()['faults'], {}, 'no bug of hawser');
  });

  for (const [name, broken] of [
    ['flush', { write: () => {}, flush: () => assert.fail('flush') }],
    ['onTaken', { write: () => {}, onTaken: () => assert.fail('onTaken') }],
    ['write', { write: () => assert.fail('write') }],
    ['asynchronous write', { write: () => Promise.reject(new Error('of the program')) }],
  ] as const) {
    it(`a writer whose ${name} throws ends its own link, and no other`, async () => {
      const uncaught = await uncaughtOf(async () => {
        const { reader, closed } = network.attach(broken);
        const [ours, theirs] = duplexPair();
        network.attach(ours);
        const { guest } = guestOnStream(theirs);
        reader.onFrame(arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP));
        await closed;
        await guest.lease();
        await guest.ping('192.168.127.1');
        await guest.close();
      });
      assert.deepEqual(uncaught, []);
      assert.deepEqual(network.view.counters()['faults'], {});
    });
  }

  it('a framing that there is not is refused', () => {
    for (const framing of ['"ethernet"', '{}', '{ "headerLen": 4 }', '7', 'null']) {
      const [ours] = duplexPair();
      const attach = (): unknown => network.attach(ours, { framing: JSON.parse(framing) });
      assert.throws(attach, { code: 'ERR_HAWSER_LINK', message: /framing/ }, framing);
    }
    const wide = { headerLen: 17, readLength: () => 0, writeLength: () => {} };
    for (const headerLen of [17, 0, -1, 1.5, Number.NaN]) {
      const attach = (): unknown =>
        network.attach(duplexPair()[0], { framing: { ...wide, headerLen } });
      assert.throws(attach, { code: 'ERR_HAWSER_LINK', message: /framing/ }, `${headerLen}`);
    }
    assert.equal(network.view.info().links.length, 0);
  });

  for (const [name, readLength] of [
    ['too long', () => 1e9],
    ['no length', () => Number.NaN],
    ['a fraction', () => 60.5],
    ['an exception', () => assert.fail('of the program')],
  ] as const) {
    it(`a framing of the program that reads ${name} ends its link`, async () => {
      const uncaught = await uncaughtOf(async () => {
        const [ours, theirs] = duplexPair();
        const framing = { headerLen: 2, readLength, writeLength: () => {} };
        const { closed } = network.attach(ours, { framing });
        theirs.write(Buffer.alloc(64));
        await closed;
      });
      assert.deepEqual(uncaught, []);
    });
  }

  it('a framing of the program whose writeLength throws ends its link, and no other', async () => {
    const lines: unknown[] = [];
    const log: Log = {
      ...SILENT,
      warn: (_fields, message) => lines.push(message),
      error: (fields, message) => lines.push([message, Reflect.get(fields, 'link')]),
    };
    const framed = await createNetwork({}, log);
    const uncaught = await uncaughtOf(async () => {
      const [ours, theirs] = duplexPair();
      const framing = {
        headerLen: 2,
        readLength: (view: DataView, off: number) => view.getUint16(off),
        writeLength: () => assert.fail('of the program'),
      };
      const { closed } = framed.attach(ours, { framing });
      const [other, others] = duplexPair();
      framed.attach(other);
      const arp = arpFrame(1, GUEST_MAC, GUEST_IP, GATEWAY_IP);
      theirs.write(Buffer.concat([Buffer.from([0, arp.length]), arp]));
      await closed;
      const { guest } = guestOnStream(others);
      await guest.lease();
      await guest.ping('192.168.127.1');
      await guest.close();
    });
    await framed.close();
    assert.deepEqual(uncaught, []);
    assert.deepEqual(lines, [['guest link failed', 'stream#1']]);
    assert.deepEqual(framed.view.counters()['faults'], {});
  });

  it('members of a framing that throw, or are no lengths, are refused', () => {
    const whole = { headerLen: 2, readLength: () => 0, writeLength: () => {} };
    const attach = (framing: object) => (): unknown =>
      // @ts-expect-error programs without types pass anything
      network.attach(duplexPair()[0], { framing });
    for (const longestFrame of ['x', Number.NaN, -1, 0, 1.5, {}]) {
      const message = /longestFrame of its framing must be an integer of at least 14/;
      assert.throws(attach({ ...whole, longestFrame }), { code: 'ERR_HAWSER_LINK', message });
    }
    for (const name of ['headerLen', 'longestFrame', 'readLength', 'writeLength']) {
      const get = (): never => assert.fail('of the program');
      const framing = Object.defineProperty({ ...whole }, name, { get });
      const message = new RegExp(`${name} of its framing cannot be read: of the program`);
      assert.throws(attach(framing), { code: 'ERR_HAWSER_LINK', message });
    }
    assert.equal(network.view.info().links.length, 0);
  });

  describe('arguments of programs without types', () => {
    const PORT_80 = { protocol: 'tcp', hostAddress: 'localhost', hostPort: 0, guestPort: 80 };
    const UNIX = { protocol: 'unix', guestPort: 80 };
    for (const [publication, why] of [
      [123, /a publication must be an object, got 123/],
      [null, /a publication must be an object, got null/],
      [[], /a publication must be an object, got \[\]/],
      [{}, /guestPort must be/],
      [{ ...PORT_80, protocol: 'sctp' }, /protocol must be tcp, udp or unix/],
      [{ ...PORT_80, hostPort: '80' }, /hostPort must be an integer/],
      [{ ...PORT_80, hostPort: 65_536 }, /hostPort must be an integer/],
      [{ ...PORT_80, guestPort: 1.5 }, /guestPort must be an integer/],
      [
        { ...PORT_80, hostAddress: '127.0.0.1' },
        /hostAddress must be an IpAddress, or "localhost"/,
      ],
      [{ ...PORT_80, guestAddress: '192.168.127.2' }, /guestAddress must be an IpAddress/],
      [{ ...UNIX }, /hostPath must be a path/],
      [{ ...PORT_80, guestPort: 0 }, /guestPort must be an integer from 1/],
      [{ ...PORT_80, guest: null }, /guest must be { kind: 'name', name } or/],
      [{ ...PORT_80, guest: 'bob' }, /guest must be { kind: 'name', name } or/],
      [{ ...PORT_80, guest: { kind: 'name', name: '52:54:00:00:00:01' } }, /guest must be {/],
      [{ ...PORT_80, via: 'ssh' }, /via must be one of net, mux, got "ssh"/],
      [{ ...PORT_80, proxyProtocol: 'v3' }, /proxyProtocol must be one of v1, v2/],
      [{ ...PORT_80, sourceAddress: true }, /sourceAddress must be one of preserve, gateway/],
      [{ ...PORT_80, asked: 5 }, /asked must be { host, guest }, got 5/],
      [{ ...PORT_80, hostport: 1 }, /hostport is not a known key: did you mean hostPort\?/],
      [{ ...PORT_80, '\u001b[2J\u009b': 1 }, /publish: \\u{1b}\[2J\\u{9b} is not a known key/],
      [{ ...PORT_80, hostPath: '/x' }, /hostPath is not a known key/],
      [
        { ...UNIX, hostPath: `/${'x'.repeat(107)}` },
        /hostPath must .*: it is longer than 107 bytes/,
      ],
      [{ ...UNIX, hostPath: '/a\u0000b' }, /hostPath must be a path: it contains a NUL character/],
      [{ ...UNIX, hostPath: 'x.sock' }, /hostPath must be a path: it is not an absolute path/],
      [
        { ...UNIX, hostPath: '/x', ssh: { user: 'a', keyFile: 'k' } },
        /keyFile must be an abs.*guestPath/,
      ],
    ] as const) {
      it(`publish(${JSON.stringify(publication)}) listens nowhere`, async () => {
        const publish = network.publish(JSON.parse(JSON.stringify(publication)));
        await assert.rejects(publish, { code: 'ERR_HAWSER_PUBLISH_SYNTAX', message: why });
        assert.deepEqual(network.view.ports(), []);
      });
    }

    it('a publication of one guest names it as names are kept', async () => {
      const guest = { kind: 'name', name: 'Bob' } as const;
      const port80 = { protocol: 'tcp', hostPort: 0, guestPort: 80 } as const;
      const ends = { hostAddress: 'localhost' as const, guestAddress: undefined };
      await network.publish({ ...port80, ...ends, guest });
      assert.deepEqual(
        network.view.ports().map((port) => port.guest),
        ['bob'],
      );
    });

    it('one that names no address of the host by mistake does not listen on all of them', async () => {
      const port80 = {
        protocol: 'tcp',
        hostPort: 0,
        guestAddress: undefined,
        guestPort: 80,
      } as const;
      const wordless: IpAddress = Object.create(IpAddress.prototype);
      for (const spec of [port80, { ...port80, hostAddress: wordless }]) {
        const published = network.publish(Object.assign(spec));
        await assert.rejects(published, {
          code: 'ERR_HAWSER_PUBLISH_SYNTAX',
          message: /hostAddress must/,
        });
      }
      await network.publish({ ...port80, hostAddress: undefined });
      assert.equal(network.view.ports().length, 1);
      assert.throws(() => ipAddress('127.0.0.1 '), { name: 'TypeError' });
    });

    it('a document of proxies that is none leaves the proxies in use', async () => {
      await network.view.proxy.replace({ upstreamProxy: 'http://127.0.0.1:3128' });
      for (const none of [Promise.resolve({}), new Map(), new Date(), undefined, []]) {
        const replaced = network.view.proxy.replace(none);
        await assert.rejects(replaced, { name: 'ProxyError', message: /must be an object/ });
      }
      assert.notEqual(network.view.proxy.state().document, null);
    });

    it('an option that is a promise is named', async () => {
      for (const key of ['ipv6', 'nat64', 'dnsFamily', 'mtu', 'publish']) {
        const create = createNetwork(Object.assign({ [key]: Promise.resolve('off') }));
        const message = `${key} must not be a promise: await it`;
        await assert.rejects(create, { code: 'ERR_HAWSER_OPTIONS', message });
      }
    });

    it('a key that is not known is no option that is left out', async () => {
      const unknown = /gust is not a known key/;
      const extra = JSON.parse('{ "gust": 1 }');
      const writer = { write: () => {} };
      assert.throws(() => network.attach(writer, extra), {
        code: 'ERR_HAWSER_LINK',
        message: unknown,
      });
      assert.throws(() => network.attach(duplexPair()[0], extra), unknown);
      assert.throws(
        () => network.attach(writer, JSON.parse('{ "framing": "qemu" }')),
        /framing is not/,
      );
      assert.throws(() => network.listen({ port: 80, ...extra }), {
        code: 'ERR_HAWSER_LISTEN',
        message: unknown,
      });
      const dialled = network.dial({ port: 80, ...extra });
      await assert.rejects(dialled, { code: 'ERR_HAWSER_DIAL', message: unknown });
      const served = network.serveApi({ address: 'unix:/x', ...extra });
      await assert.rejects(served, { code: 'ERR_HAWSER_OPTIONS', message: unknown });
      assert.equal(network.view.info().links.length, 0);
      const nowhere = network.serveApi({ address: 'unix:/nonexistent/api.sock' });
      await assert.rejects(nowhere, {
        name: 'ApiListenError',
        message: /make it, or choose another/,
      });
    });

    it('options are no Map, no Date, and none of a prototype alone', async () => {
      class Options {
        get mtu(): number {
          return 1400;
        }
      }
      for (const options of [new Map([['mtu', 1400]]), new Date(), new Options()]) {
        const create = createNetwork(Object.assign(options));
        await assert.rejects(create, { code: 'ERR_HAWSER_OPTIONS', message: /must be an object/ });
      }
      const bare = await createNetwork(Object.create(null));
      await bare.close();
    });

    it('a file that will be written or read is looked at before anything is open', async () => {
      for (const options of [{ leaseFile: '/' }, { hosts: '/nonexistent/hosts' }]) {
        const message =
          /^(leaseFile \/ cannot be written: .*directory|hosts .* cannot be read: ENOENT)/;
        await assert.rejects(createNetwork(options), { code: 'ERR_HAWSER_OPTIONS', message });
      }
    });

    it('other calls say what is wrong, by their own errors', async () => {
      const five = JSON.parse('5');
      for (const none of [five, undefined, null, {}]) {
        const message = /it must be a text$/;
        assert.throws(() => parsePublish(none), { code: 'ERR_HAWSER_PUBLISH_SYNTAX', message });
      }
      for (const name of ['toString', '__proto__']) {
        const off = (): unknown => Reflect.apply(network.off, network, [name, () => {}]);
        assert.throws(off, { code: 'ERR_HAWSER_OPTIONS' });
      }
      const signal = network.dial({ port: 80, signal: five });
      await assert.rejects(signal, { code: 'ERR_HAWSER_DIAL', message: /must be an AbortSignal/ });
      const { policy, dnsRecords } = network.view;
      const wrong = { code: 'ERR_HAWSER_POLICY' };
      assert.throws(() => policy.test(JSON.parse('{}')), wrong);
      assert.throws(() => policy.suggest(five), wrong);
      assert.throws(() => policy.clear(five), wrong);
      await assert.rejects(policy.replaceText(five), wrong);
      await assert.rejects(policy.approve('1', five), wrong);
      assert.throws(
        () => dnsRecords.add({ name: 'a.test', address: five }),
        /must be an IpAddress/,
      );
      await assert.rejects(network.dial({ port: 80, guest: five }), { code: 'ERR_HAWSER_DIAL' });
      for (const wrong of [{ address: five }, { backlog: -1 }, { backlog: JSON.parse('"9"') }]) {
        const listen = (): unknown => network.listen({ port: 80, ...wrong });
        assert.throws(listen, { code: 'ERR_HAWSER_LISTEN' });
      }
      await assert.rejects(network.serveApi({ address: five }), { code: 'ERR_HAWSER_OPTIONS' });
      await assert.rejects(createNetwork(JSON.parse('[]')), { code: 'ERR_HAWSER_OPTIONS' });
      for (const none of ['null', '{}', '5']) {
        assert.equal(network.unpublish(JSON.parse(none)), false);
      }
    });
  });

  it('any number of networks in a process: Node warns of no leak', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning);
    process.on('warning', onWarning);
    const networks = await Promise.all(Array.from({ length: 24 }, () => createNetwork()));
    await new Promise((resolve) => setImmediate(resolve)); // warnings come a tick later
    await Promise.all(networks.map((one) => one.close()));
    process.off('warning', onWarning);
    assert.deepEqual(warnings, []);
  });
});
