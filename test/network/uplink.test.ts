import assert from 'node:assert/strict';
import { PosixError } from '../../src/native/errors.ts';
import { loadPosix } from '../../src/native/load.ts';
import type { SourceAddress } from '../../src/native/source-address.ts';
import { addressesOf } from '../../src/network/addresses.ts';
import { checkOptions } from '../../src/network/check-options.ts';
import type { NetworkOptions } from '../../src/network/options.ts';
import { Uplink, type UplinkState, uplinkOf } from '../../src/network/uplink.ts';
import { HostReach } from '../../src/proxy/host-reach.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { itNeeding } from '../support/requirements.ts';

const NONE: SourceAddress = { code: 'ENETUNREACH' };
const V4: SourceAddress = { address: '10.0.0.7' };
const V6: SourceAddress = { address: '2001:db8:0:7::7' };

/** An uplink of a host whose kernel answers as `v4` and `v6` are. */
class Lab {
  v4: SourceAddress;
  v6: SourceAddress;
  readonly log = new RecordingLog();
  readonly states: UplinkState[] = [];
  now = 5_000;
  wallMs = 1_700_000_000_000;
  awake = 0;
  readonly reach = new HostReach({
    pollMs: 3_600_000,
    settleMs: 0,
    probe: (destination) => Promise.resolve(destination.includes(':') ? this.v6 : this.v4),
  });

  constructor(v4: SourceAddress, v6: SourceAddress) {
    this.v4 = v4;
    this.v6 = v6;
  }

  async open(options: NetworkOptions = {}): Promise<Uplink> {
    await this.reach.ask();
    const config = checkOptions(options);
    return new Uplink({
      config,
      addresses: addressesOf(config, this.reach.now.source6).ipv6,
      reach: this.reach,
      log: this.log,
      onChange: (state) => this.states.push(state),
      onAwake: () => this.awake++,
      clock: { now: () => this.now },
      wallClock: () => this.wallMs,
    });
  }

  async become(v4: SourceAddress, v6: SourceAddress): Promise<void> {
    this.v4 = v4;
    this.v6 = v6;
    await this.reach.ask();
  }

  /** Lines above `debug`. */
  get said(): string[] {
    return this.log.lines.filter(({ level }) => level !== 'debug').map(({ message }) => message);
  }
}

describe('network/uplink', () => {
  const uplink = (
    options: NetworkOptions,
    ipv4: boolean,
    ipv6: 'global' | 'unique-local' | 'none',
  ) => {
    const config = checkOptions(options);
    const { hasRoute, hasIpv6, hasNat64 } = uplinkOf(
      config,
      { ipv4, ipv6 },
      addressesOf(config).ipv6 !== undefined,
    );
    return [hasRoute, hasIpv6, hasNat64];
  };

  for (const [what, options, ipv4, ipv6, route, toIpv6, nat64] of [
    ['a host with both families', {}, true, 'global', true, true, false],
    ['a host with IPv4', {}, true, 'none', false, false, false],
    ['a host with a unique local address', {}, true, 'unique-local', false, false, false],
    ['a host with IPv6 only', {}, false, 'global', true, true, true],
    ['a host without a network', {}, false, 'none', false, false, false],
    ['a host with a unique local address only', {}, false, 'unique-local', false, false, false],
    ['a host with IPv4, ipv6: on', { ipv6: 'on' }, true, 'none', true, true, false],
    ['a unique local address, ipv6: on', { ipv6: true }, true, 'unique-local', true, true, false],
    ['a host with IPv4, nat64: on', { nat64: true }, true, 'none', true, false, true],
    ['IPv6 only, nat64: off', { nat64: false }, false, 'global', true, true, false],
    ['both families, ipv6: off', { ipv6: 'off' }, true, 'global', false, false, false],
    ['IPv6 only, ipv6: off', { ipv6: 'off' }, false, 'global', false, false, false],
    ['IPv6 only, an MTU below 1280', { mtu: 1_000 }, false, 'global', false, false, false],
  ] as const) {
    it(`${what}: route ${route}, IPv6 ${toIpv6}, NAT64 ${nat64}`, () =>
      assert.deepEqual(uplink(options, ipv4, ipv6), [route, toIpv6, nat64]));
  }

  it('a host without IPv4 is known whatever guests have', () =>
    assert.ok(
      uplinkOf(checkOptions({ ipv6: 'off' }), { ipv4: false, ipv6: 'global' }, false)
        .isHostWithoutIpv4,
    ));

  it('reports a route that goes and comes back, and says so', async () => {
    const lab = new Lab(V4, V6);
    const opened = await lab.open();
    assert.ok(opened.now.hasRoute);
    assert.deepEqual(lab.said, []);
    await lab.become(V4, NONE);
    await lab.become(NONE, NONE);
    await lab.become(V4, V6);
    assert.deepEqual(
      lab.states.map(({ hasRoute }) => hasRoute),
      [false, true],
    );
    assert.equal(opened.now, lab.states[1]);
    assert.match(
      lab.said.join('\n'),
      /^guests have no default route .*\nguests have a default route/,
    );
    opened.close();
    await lab.become(V4, NONE);
    assert.equal(lab.states.length, 2);
  });

  it('reports NAT64 when IPv4 of the host goes, without a word about the route, which stays', async () => {
    const lab = new Lab(V4, V6);
    const opened = await lab.open();
    await lab.become(NONE, V6);
    assert.deepEqual(lab.states, [
      { hasRoute: true, hasIpv6: true, hasNat64: true, isHostWithoutIpv4: true },
    ]);
    assert.deepEqual(lab.said, []);
    opened.close();
  });

  for (const code of ['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EPERM']) {
    it(`a host without the family (${code}) is one note`, async () => {
      const lab = new Lab(V4, { code });
      const opened = await lab.open();
      await lab.become(V4, { code });
      assert.deepEqual(lab.said, ['this host has no IPv6: guests reach none but this network']);
      opened.close();
    });
  }
  it('and none where guests have no IPv6', async () => {
    const lab = new Lab(V4, { code: 'EAFNOSUPPORT' });
    const opened = await lab.open({ ipv6: 'off' });
    assert.deepEqual(lab.said, []);
    opened.close();
  });

  it("the host's own network that has become another is one for the next start", async () => {
    const lab = new Lab(V4, V6);
    const opened = await lab.open({ subnet6: 'host' });
    await lab.become(V4, { address: '2001:db8:0:7:1:2:3:4' });
    await lab.become(V4, NONE);
    await lab.become(V4, V6);
    assert.equal(lab.said.filter((line) => line.includes('restart')).length, 0);
    await lab.become(V4, { address: '2001:db8:0:8::7' });
    assert.equal(lab.said.filter((line) => line.includes('restart')).length, 1);
    opened.close();
  });

  it('reports that the host slept, and not that its clock is corrected', async () => {
    const lab = new Lab(V4, V6);
    const opened = await lab.open();
    const pass = async (wallMs: number, ms = 10_000): Promise<number> => {
      lab.now += ms;
      lab.wallMs += wallMs;
      await lab.reach.ask();
      return lab.awake;
    };
    assert.equal(await pass(10_000), 0);
    assert.equal(await pass(69_999), 0);
    assert.equal(await pass(70_000), 1);
    assert.equal(await pass(10_000), 1);
    assert.equal(await pass(-3_600_000), 1);
    assert.equal(await pass(8 * 3_600_000), 2);
    assert.equal(
      await pass(8 * 3_600_000, 8 * 3_600_000),
      2,
      'the daemon was stopped, not the host',
    );
    opened.close();
    assert.equal(await pass(8 * 3_600_000), 2);
    assert.deepEqual(lab.states, []);
  });

  itNeeding(
    "goes on without the kernel's reports where it may not have them",
    ['koffi'],
    async () => {
      const lab = new Lab(V4, V6);
      const opened = await lab.open();
      const posix = loadPosix();
      const refused = Object.create(posix, {
        openRouteEvents: {
          value: () => {
            throw new PosixError('cannot open a netlink socket', 1);
          },
        },
      });
      opened.watchWith(refused);
      assert.deepEqual(lab.said, []);
      opened.close();
    },
  );
});
