import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNetwork } from '../../src/network/create-network.ts';
import type { FrameAttachment } from '../../src/network/links.ts';
import type { Network } from '../../src/network/network-interface.ts';
import type { NetworkOptions } from '../../src/network/options.ts';
import { pseudoAddressSum } from '../../src/wire/checksum.ts';
import {
  DECLINE6,
  INFORMATION_REQUEST,
  RELEASE6,
  REQUEST6,
  SOLICIT,
} from '../../src/wire/dhcpv6.ts';
import { eui64Address, LINK_LOCAL } from '../../src/wire/eui64.ts';
import { readIpv6Address } from '../../src/wire/ipv6-address.ts';
import { formatMac, readMac, writeMac } from '../../src/wire/mac.ts';
import { emitUdp } from '../../src/wire/udp.ts';
import {
  type Dhcpv6Ask,
  dhcpv6Message,
  type ReadReply,
  readDhcpv6Reply,
} from '../support/dhcpv6-message.ts';
import { GATEWAY_MAC, viewOf } from '../support/frames.ts';
import { frame6, UDP } from '../support/frames6.ts';

const PREFIX = 'fd00:1:2:3';
const GATEWAY_LINK_LOCAL = eui64Address(LINK_LOCAL, GATEWAY_MAC);
const SERVER_ID = [0, 3, 0, 1, ...macBytes(GATEWAY_MAC)];

function macBytes(mac: number): number[] {
  const bytes = new Uint8Array(6);
  writeMac(new DataView(bytes.buffer), 0, mac);
  return [...bytes];
}

interface Answer {
  readonly from: string;
  readonly to: string;
  readonly mac: number;
  readonly reply: ReadReply;
}

/** A guest that speaks DHCPv6 and nothing else. */
class Client {
  readonly answers: Answer[] = [];
  readonly mac: number;
  private readonly attachment: FrameAttachment;

  constructor(network: Network, mac: number) {
    this.mac = mac;
    this.attachment = network.attach({ write: (frame) => this.onFrame(frame) });
  }

  async ask(message: Dhcpv6Ask, dst = 'ff02::1:2', src = 'fe80::2'): Promise<Answer | undefined> {
    const payload = dhcpv6Message(message);
    const upper = new Uint8Array(8 + payload.byteLength);
    upper.set(new Uint8Array(payload.buffer), 8);
    const frame = frame6(UDP, [...upper], { src, dst, srcMac: this.mac, dstMac: GATEWAY_MAC });
    const view = viewOf(frame);
    const words = new Int32Array(8);
    for (let i = 0; i < 8; i++) words[i] = view.getInt32(22 + 4 * i);
    emitUdp(view, 54, 546, 547, payload.byteLength, pseudoAddressSum(words, 0, 4, 6, UDP));
    this.answers.length = 0;
    this.attachment.reader.onFrame(frame);
    for (let i = 0; i < 5 && this.answers.length === 0; i++) await new Promise(setImmediate);
    return this.answers[0];
  }

  private onFrame(frame: Uint8Array): void {
    const view = viewOf(frame);
    const isReply = view.getUint16(12) === 0x86dd && frame[20] === UDP;
    if (!isReply || view.getUint16(56) !== 546) return;
    const bytes = frame.slice(62);
    this.answers.push({
      from: readIpv6Address(view, 22).toString(),
      to: readIpv6Address(view, 38).toString(),
      mac: readMac(view, 0),
      reply: readDhcpv6Reply(new DataView(bytes.buffer)),
    });
  }
}

const NONE = { associations: [{ id: 7 }] };
const at = (address: string) => ({ associations: [{ id: 7, addresses: [address] }] });

function leaseIn(answer: Answer | undefined): string {
  const [address = 'none'] = Object.keys(answer?.reply.associations[0]?.addresses ?? {});
  return address;
}

describe('network/dhcpv6', () => {
  const networks: Network[] = [];
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
  });
  afterEach(async () => {
    for (const network of networks.splice(0)) await network.close();
    rmSync(dir, { recursive: true });
  });
  const open = async (options: NetworkOptions = {}): Promise<Network> => {
    const network = await createNetwork({ subnet6: `${PREFIX}::/64`, ...options });
    networks.push(network);
    return network;
  };

  it('answers at the address that a message came from, from the one that it was sent to', async () => {
    const client = new Client(await open(), 0x0200_0000_0001);
    for (const [dst, from] of [
      ['ff02::1:2', GATEWAY_LINK_LOCAL.toString()],
      ['ff05::1:3', GATEWAY_LINK_LOCAL.toString()],
      [`${PREFIX}::1`, `${PREFIX}::1`],
    ] as const) {
      for (const src of ['fe80::2', `${PREFIX}::aa`]) {
        const answer = await client.ask({ type: SOLICIT, ...NONE }, dst, src);
        assert.deepEqual([answer?.from, answer?.to, answer?.mac], [from, src, client.mac], dst);
      }
    }
  });

  it('a lease is shown with its guest, stored, and its guest’s alone', async () => {
    const leaseFile = join(dir, 'leases.json');
    const network = await open({ leaseFile });
    const client = new Client(network, 0x0200_0000_0001);
    const address = leaseIn(await client.ask({ type: SOLICIT, ...NONE }));
    const fqdn = [1, 2, 0x76, 0x6d]; // vm
    const bound = await client.ask({ type: REQUEST6, serverId: SERVER_ID, fqdn, ...at(address) });
    assert.equal(leaseIn(bound), address);
    const [lease] = network.view.leases();
    assert.deepEqual(
      { ...lease, expiresAt: '' },
      {
        ...{ mac: formatMac(client.mac), address, hostname: 'vm', static: false, expiresAt: '' },
      },
    );
    const guest = network.view.guests().find(({ mac }) => mac === formatMac(client.mac));
    assert.deepEqual(
      [new Set(guest?.addresses), guest?.hostname],
      [new Set(['fe80::2', address]), 'vm'],
    );
    const evil = new Client(network, 0x0200_0000_0002);
    await evil.ask({ type: INFORMATION_REQUEST }, 'ff02::1:2', address);
    assert.equal(network.view.counters()['drops']?.['ipv6-source-of-another'], 1);
    const counts = network.view.counters();
    assert.deepEqual(counts['dhcpv6'], { advertises: 1, binds: 1 });
    await network.close();
    assert.match(readFileSync(leaseFile, 'utf8'), new RegExp(`"leases6".*"${address}"`, 's'));
    const again = await open({ leaseFile });
    assert.equal(again.view.leases()[0]?.address, address);
  });

  it('a static lease of either family, or both, for one guest', async () => {
    const mac = '02:00:00:00:00:01';
    const addresses = [`${mac}=192.168.127.9,build`, `${mac}=${PREFIX}::99,build`];
    const network = await open({ staticLease: addresses });
    assert.deepEqual(
      network.view.leases().map(({ address }) => address),
      ['192.168.127.9', `${PREFIX}::99`],
    );
    const client = new Client(network, 0x0200_0000_0001);
    assert.equal(
      leaseIn(await client.ask({ type: SOLICIT, rapid: true, ...NONE })),
      `${PREFIX}::99`,
    );
    const evil = new Client(network, 0x0200_0000_0002);
    await evil.ask({ type: INFORMATION_REQUEST }, 'ff02::1:2', `${PREFIX}::99`);
    assert.equal(network.view.counters()['drops']?.['ipv6-source-of-another'], 1);
  });

  it('an address that another guest uses is not leased', async () => {
    const network = await open();
    const first = new Client(network, 0x0200_0000_0001);
    const address = leaseIn(await first.ask({ type: SOLICIT, ...NONE }));
    const second = new Client(network, 0x0200_0000_0002);
    await second.ask({ type: INFORMATION_REQUEST }, 'ff02::1:2', address);
    const offered = await first.ask({ type: SOLICIT, ...NONE });
    assert.equal(leaseIn(offered), address, 'offered before it was used');
    const third = new Client(network, 0x0200_0000_0003);
    const wished = await third.ask({ type: SOLICIT, ...at(address) }, 'ff02::1:2', 'fe80::3');
    assert.notEqual(leaseIn(wished), address);
  });

  it('a released or declined address is gone from the lists', async () => {
    const network = await open();
    const client = new Client(network, 0x0200_0000_0001);
    for (const type of [RELEASE6, DECLINE6]) {
      const address = leaseIn(await client.ask({ type: SOLICIT, rapid: true, ...NONE }));
      assert.equal(network.view.leases().length, 1);
      await client.ask({ type, serverId: SERVER_ID, ...at(address) });
      assert.deepEqual(network.view.leases(), []);
    }
  });

  it('addresses by autoconfiguration alone: parameters, and no lease', async () => {
    const network = await open({ ipv6Mode: 'slaac' });
    const client = new Client(network, 0x0200_0000_0001);
    const answer = await client.ask({ type: SOLICIT, rapid: true, ...NONE });
    assert.equal(leaseIn(answer), 'none');
    assert.ok(answer?.reply.options.has(23));
    assert.deepEqual(network.view.leases(), []);
  });

  it('without IPv6 nobody answers', async () => {
    const client = new Client(await open({ subnet6: 'none' }), 0x0200_0000_0001);
    assert.equal(await client.ask({ type: SOLICIT, ...NONE }), undefined);
  });
});
