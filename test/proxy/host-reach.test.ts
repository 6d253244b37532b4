import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DATAGRAM_BINDINGS } from '../../src/native/datagram-bindings.ts';
import { type SourceAddress, sourceAddressTo } from '../../src/native/source-address.ts';
import { HostReach, type Reach } from '../../src/proxy/host-reach.ts';
import { Namespace } from '../native/namespace.ts';
import { buildNoIpv6 } from '../support/no-family.ts';
import { describeNeeding, itNeeding, NAMESPACES } from '../support/requirements.ts';

const CHILD = fileURLToPath(new URL('./host-reach-child.js', import.meta.url));

const at = (address: string): SourceAddress => ({ address });
const failed = (code: string): SourceAddress => ({ code });

/** A reach whose kernel answers as `v4` and `v6` are. */
class Lab {
  v4: SourceAddress = failed('ENETUNREACH');
  v6: SourceAddress = failed('ENETUNREACH');
  asked = 0;
  readonly changes: Reach[] = [];
  readonly reach: HostReach;
  private changed: () => void = () => {};

  constructor(pollMs = 3_600_000) {
    this.reach = new HostReach({
      pollMs,
      settleMs: 1,
      probe: (destination) => {
        this.asked++;
        return Promise.resolve(destination.includes(':') ? this.v6 : this.v4);
      },
    });
    this.reach.follow((now) => {
      this.changes.push(now);
      this.changed();
    });
  }

  async ask(v4: SourceAddress, v6: SourceAddress): Promise<Reach> {
    this.v4 = v4;
    this.v6 = v6;
    await this.reach.ask();
    return this.reach.now;
  }

  nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.changed = resolve;
    });
  }
}

describe('proxy/host-reach', () => {
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.reach.close());

  it('reports that the kernel was asked, though nothing differs, and not when closed', async () => {
    let asked = 0;
    lab.reach.whenAsked(() => asked++);
    await lab.ask(at('192.0.2.7'), failed('ENETUNREACH'));
    await lab.ask(at('192.0.2.8'), failed('ENETUNREACH'));
    assert.deepEqual([asked, lab.changes.length], [2, 1]);
    lab.reach.close();
    await lab.reach.ask();
    assert.equal(asked, 2);
  });

  const none = failed('ENETUNREACH');
  for (const [what, v4, v6, ipv4, ipv6] of [
    ['both families', at('192.0.2.7'), at('2001:db8::7'), true, 'global'],
    ['IPv4 alone', at('10.0.0.7'), none, true, 'none'],
    ['IPv6 alone', none, at('2a00:1:2:3::7'), false, 'global'],
    ['a translator on the host itself', at('192.0.0.4'), at('2001:db8::7'), true, 'global'],
    ['a unique local address', none, at('fd00::7'), false, 'unique-local'],
    ['link-local addresses', at('169.254.0.7'), at('fe80::7'), false, 'none'],
    ['loopbacks', at('127.0.0.1'), at('::1'), false, 'none'],
    ['no address', at('0.0.0.0'), at('::'), false, 'none'],
    ['an address that stands for one of IPv4', at('::1'), at('::ffff:192.0.2.7'), false, 'none'],
    ['what is no address', at('x'), at('fe80::7%eth0'), false, 'none'],
    ['a kernel without IPv6', at('10.0.0.7'), failed('EAFNOSUPPORT'), true, 'none'],
    ['a filter', failed('EPERM'), failed('EPERM'), false, 'none'],
  ] as const) {
    it(`${what}: IPv4 ${ipv4}, IPv6 ${ipv6}`, async () => {
      const reach = await lab.ask(v4, v6);
      assert.deepEqual([reach.ipv4, reach.ipv6], [ipv4, ipv6]);
      assert.equal(reach.code6, 'code' in v6 ? v6.code : undefined);
    });
  }

  it('says what has changed, once', async () => {
    await lab.ask(at('10.0.0.7'), at('2001:db8::7'));
    await lab.ask(at('10.0.0.7'), at('2001:db8::7'));
    await lab.ask(at('10.0.0.7'), failed('ENETUNREACH'));
    await lab.ask(at('10.0.0.7'), failed('EADDRNOTAVAIL'));
    await lab.ask(at('10.0.0.8'), failed('EADDRNOTAVAIL'));
    assert.deepEqual(
      lab.changes.map(({ ipv6, code6 }) => [ipv6, code6]),
      [
        ['global', undefined],
        ['none', 'ENETUNREACH'],
        ['none', 'EADDRNOTAVAIL'],
      ],
    );
  });

  it('keeps what it knows while the kernel cannot be asked', async () => {
    const known = await lab.ask(at('10.0.0.7'), at('2001:db8::7'));
    for (const code of ['EMFILE', 'ENOBUFS']) {
      assert.equal(await lab.ask(failed(code), failed(code)), known);
    }
  });

  it('asks once for a group of changes, and again for what changes meanwhile', async () => {
    await lab.ask(none, none);
    lab.v6 = at('2001:db8::7');
    lab.asked = 0;
    const changed = lab.nextChange();
    for (let i = 0; i < 100; i++) lab.reach.onNetworkChange();
    await changed;
    assert.equal(lab.asked, 2);
    const first = lab.reach.ask();
    const second = lab.reach.ask();
    await Promise.all([first, second]);
    assert.equal(lab.asked, 6);
  });

  it('asks every while', async () => {
    const poller = new Lab(1);
    poller.v6 = at('2001:db8::7');
    await poller.nextChange();
    poller.reach.close();
  });

  it('says nothing once it is closed', async () => {
    lab.reach.close();
    lab.reach.onNetworkChange();
    await lab.ask(none, at('2001:db8::7'));
    assert.deepEqual(lab.changes, []);
  });

  for (const [how, bindings] of [
    ['a handle', DATAGRAM_BINDINGS],
    ["Node's own socket", null],
  ] as const) {
    it(`${how} has the address that the kernel would send from, or its error`, async () => {
      assert.deepEqual(await sourceAddressTo('127.0.0.9', bindings), { address: '127.0.0.1' });
      assert.deepEqual(await sourceAddressTo('255.255.255.255', bindings), { code: 'EACCES' });
    });
  }
});

/** The child in a namespace, line by line. */
class Follower {
  readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(ns: Namespace, how: 'watch' | 'poll', env: Readonly<Record<string, string>> = {}) {
    const argv = ['netns', 'exec', ns.name, process.execPath, CHILD, how];
    const child = spawn('ip', argv, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    this.child = child;
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    return (await this.lines.next()).value ?? assert.fail('the child has ended');
  }

  /** Read on to a line of this form. */
  async until(form: RegExp): Promise<void> {
    while (!form.test(await this.line()));
  }

  async end(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.stdin?.end();
    await ended;
  }
}

describeNeeding('proxy/host-reach in a namespace', [...NAMESPACES, 'sysctl'], () => {
  let ns: Namespace;
  let follower: Follower | undefined;
  beforeEach(() => {
    ns = new Namespace();
    ns.ip('link add up0 type veth peer name up1');
    ns.ip('link set up1 up');
    ns.ip('link set up0 up');
  });
  afterEach(async () => {
    await follower?.end();
    follower = undefined;
    ns.remove();
  });

  const addGlobal = (): void => {
    ns.ip('addr add 2001:db8::7/64 dev up0 nodad');
    ns.ip('route add default via fe80::1 dev up0');
  };

  for (const how of ['watch', 'poll'] as const) {
    it(`follows addresses and routes as they come and go: ${how}`, async () => {
      const one = new Follower(ns, how);
      follower = one;
      await one.until(/^asked$/);
      addGlobal();
      await one.until(/^false global 2001:db8::7 -$/);
      ns.ip('addr add 10.9.0.2/24 dev up0');
      ns.ip('route add default via 10.9.0.1');
      await one.until(/^true global /);
      ns.ip('-6 route del default');
      await one.until(/^true none - ENETUNREACH$/);
      ns.ip('-6 route add default via fe80::1 dev up0');
      await one.until(/^true global 2001:db8::7 -$/);
      ns.ip('link set up0 down');
      await one.until(/^false none - ENETUNREACH$/);
    });
  }

  it('takes a unique local address for none that leads anywhere', async () => {
    ns.ip('addr add fd00:7::7/64 dev up0 nodad');
    ns.ip('route add default via fe80::1 dev up0');
    follower = new Follower(ns, 'watch');
    assert.equal(await follower.line(), 'false unique-local fd00:7::7 -');
  });

  it('a default route over several gateways is one', async () => {
    ns.ip('addr add 2001:db8::7/64 dev up0 nodad');
    ns.ip(
      '-6 route add default nexthop via fe80::1 dev up0 weight 1 nexthop via fe80::2 dev up0 weight 1',
    );
    follower = new Follower(ns, 'watch');
    assert.equal(await follower.line(), 'false global 2001:db8::7 -');
  });

  it('a tentative address is none until its check has ended (RFC 4862 §5.4)', async () => {
    ns.ip('route add default via fe80::1 dev up0');
    const one = new Follower(ns, 'watch');
    follower = one;
    await one.until(/^asked$/);
    ns.ip('addr add 2001:db8::7/64 dev up0');
    await one.until(/ global 2001:db8::7 -$/);
  });

  it('IPv6 that is switched off is none', async () => {
    addGlobal();
    const one = new Follower(ns, 'watch');
    follower = one;
    await one.until(/ global /);
    await ns.run('sysctl -qw net.ipv6.conf.all.disable_ipv6=1');
    await one.until(/ none - (ENETUNREACH|EADDRNOTAVAIL)$/);
  });

  itNeeding('a kernel without the family has none', ['gcc'], async () => {
    const { library, dir } = buildNoIpv6();
    addGlobal();
    ns.ip('addr add 10.9.0.2/24 dev up0');
    ns.ip('route add default via 10.9.0.1');
    try {
      follower = new Follower(ns, 'poll', { LD_PRELOAD: library });
      assert.equal(await follower.line(), 'true none - EAFNOSUPPORT');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
