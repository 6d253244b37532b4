/** Three kernels on one segment: one of them tries to be the others, the gateway and the host, by every protocol. */
import assert from 'node:assert/strict';
import { closeSync, readSync, writeSync } from 'node:fs';
import { loadPosix } from '../../src/native/load.ts';
import { parseAddress } from '../../src/services/address-text.ts';
import { macOf } from '../../src/wire/mac.ts';
import { arpFrame, GATEWAY_IP, HOST_IP, tcpFrame, udpFrame } from '../support/frames.ts';
import {
  frame6,
  ICMPV6,
  type Ip6Fields,
  linkLayerOption,
  ndp,
  PADDING,
  UDP,
} from '../support/frames6.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { GATEWAY, type Guest, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const BROADCAST = 0xffff_ffff_ffff;
const PORT = '9000';
const NEVER_USED = '192.168.127.77';
const ROUNDS = 20;

/** The frames of one guest's card: sent without its kernel, and heard beside it. */
class Card {
  private readonly fd: number;
  private readonly buffer = new Uint8Array(2048);

  constructor(guest: Guest) {
    this.fd = loadPosix().openPacketSocket('eth0', guest.name);
  }

  send(...frames: readonly Uint8Array[]): void {
    for (const frame of frames) writeSync(this.fd, frame);
  }

  /** Frames that arrived since the last call, as hexadecimal. */
  heard(): string[] {
    const frames: string[] = [];
    for (;;) {
      try {
        const len = readSync(this.fd, this.buffer);
        frames.push(hex(this.buffer.subarray(0, len)));
      } catch {
        return frames; // EAGAIN
      }
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const wordOf = (address: string): number => parseAddress(address)?.d ?? 0;

async function macOfGuest(guest: Guest): Promise<number> {
  const line = await guest.run('ip', '-br', 'link', 'show', 'eth0');
  return macOf(/ ([\da-f:]{17}) /.exec(line)?.[1] ?? '');
}

/** An IPv6 address of its own, beside what its kernel makes. */
async function addAddress6(guest: Guest, last: number): Promise<string> {
  const address = `fd09::${last}`;
  await guest.run('ip', 'addr', 'add', `${address}/64`, 'dev', 'eth0', 'nodad');
  return address;
}

/** A server that says whose it is. */
async function serveName(guest: Guest, name: string): Promise<void> {
  const script = `require('node:http').createServer((_, res) => res.end(${JSON.stringify(name)}))
    .listen(${PORT}, '0.0.0.0', () => console.log('serving'))`;
  await guest.start([process.execPath, '-e', script]).prints(/serving/);
}

const fetch = async (
  from: Guest | Lab['host'],
  url: string,
  ...args: string[]
): Promise<string> => {
  const { stdout } = await from.try('curl', '-sS', '-m', '3', ...args, url);
  return stdout;
};

/** A DHCP message of a client or a server. */
function dhcp(
  type: number,
  mac: number,
  fields: { ciaddr?: number; yiaddr?: number; op?: number },
): Uint8Array {
  const message = new Uint8Array(260);
  const view = new DataView(message.buffer);
  message.set([fields.op ?? 1, 1, 6, 0, 1, 2, 3, 4]);
  view.setInt32(12, fields.ciaddr ?? 0);
  view.setInt32(16, fields.yiaddr ?? 0);
  for (let i = 0; i < 6; i++) message[28 + i] = Math.floor(mac / 256 ** (5 - i)) & 255;
  message.set([0x63, 0x82, 0x53, 0x63, 53, 1, type, 54, 4], 236);
  view.setInt32(245, GATEWAY_IP);
  message[249] = 255;
  return message;
}

const tagged = (frame: Uint8Array, tag: string): Uint8Array =>
  Uint8Array.from([...frame.subarray(0, 12), ...Buffer.from(tag, 'hex'), ...frame.subarray(12)]);
const snap = (frame: Uint8Array): Uint8Array =>
  tagged(frame, `${(frame.length - 6).toString(16).padStart(4, '0')}aaaa03000000`);

interface Names {
  readonly evilMac: number;
  readonly evilIp: number;
  readonly goodMac: number;
  readonly goodIp: number;
  readonly goodIp6: string;
  readonly thirdMac: number;
}

/** What the attacker sends, in the name of everybody else; none of it is to be heard. */
function spoofs({ evilMac, evilIp, goodMac, goodIp, goodIp6, thirdMac }: Names): Uint8Array[] {
  const data = new TextEncoder().encode('spoofed');
  const to = { srcMac: evilMac, dstMac: thirdMac, dst: goodIp + 1 };
  const ra = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
  const six: Ip6Fields = { srcMac: evilMac, src: 'fe80::bad' };
  const answer = dhcp(5, thirdMac, { op: 2, yiaddr: goodIp });
  const offer = udpFrame(67, 68, answer, {
    srcMac: evilMac,
    dstMac: BROADCAST,
    src: evilIp,
    dst: -1,
  });
  const advertisement = frame6(ICMPV6, ra, six);
  const claim = arpFrame(2, evilMac, goodIp, goodIp + 1, thirdMac);
  const wrap = [offer, advertisement, claim];
  return [
    udpFrame(1, 2, data, { ...to, src: goodIp }),
    udpFrame(53, 2, data, { ...to, src: GATEWAY_IP }),
    udpFrame(53, 2, data, { ...to, src: HOST_IP }),
    udpFrame(53, 2, data, { ...to, src: 0x0808_0808 }),
    tcpFrame({ flags: 'R' }, { ...to, src: goodIp }),
    udpFrame(1, 2, data, { ...to, src: goodIp, srcMac: goodMac }),
    udpFrame(1, 2, data, { ...to, src: evilIp, srcMac: goodMac }),
    udpFrame(1, 2, data, { ...to, src: evilIp, srcMac: 0x5a94_efe4_0cdd }),
    claim,
    arpFrame(1, evilMac, goodIp, goodIp),
    arpFrame(2, evilMac, GATEWAY_IP, goodIp, goodMac),
    arpFrame(1, evilMac, GATEWAY_IP, GATEWAY_IP),
    arpFrame(2, evilMac, HOST_IP, goodIp, goodMac),
    arpFrame(2, goodMac, goodIp, goodIp + 1, thirdMac),
    arpFrame(2, thirdMac, goodIp + 1, goodIp, goodMac),
    offer,
    advertisement,
    frame6(ICMPV6, ra, {
      ...six,
      extensions: [
        [0, PADDING],
        [60, PADDING],
      ],
    }),
    frame6(ICMPV6, ra, { ...six, extensions: [[44, [0, 0, 0, 0, 0, 0, 9]]] }),
    frame6(ICMPV6, ndp(136, goodIp6, linkLayerOption(2, evilMac)), six),
    frame6(ICMPV6, ndp(136, goodIp6, linkLayerOption(2, evilMac)), { ...six, src: goodIp6 }),
    frame6(ICMPV6, ndp(135, goodIp6, linkLayerOption(1, goodMac)), six),
    frame6(ICMPV6, ndp(137, goodIp6, [...new Array<number>(16).fill(1)]), six),
    frame6(UDP, [2, 35, 2, 34, 0, 8, 0, 0], six),
    frame6(UDP, [0, 1, 0, 2, 0, 8, 0, 0], { ...six, src: goodIp6 }),
    ...wrap.flatMap((frame) => [
      tagged(frame, '81000000'),
      tagged(frame, '81000007'),
      tagged(frame, '88a8000081000000'),
      snap(frame),
      tagged(snap(frame), '81000000'),
    ]),
  ];
}

systemSuite('separation', [...LAB, 'curl', 'ping', 'udhcpc', 'ipv6'], function () {
  this.timeout(120_000);
  let lab: Lab;
  const cards: Card[] = [];

  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(async () => {
    for (const card of cards.splice(0)) card.close();
    await lab.close();
  });

  const card = (guest: Guest): Card => {
    const made = new Card(guest);
    cards.push(made);
    return made;
  };

  /** Three guests with leases; the good one is the first. */
  async function three(
    ...args: string[]
  ): Promise<{ good: Guest; evil: Guest; third: Guest; daemon: Daemon }> {
    const good = await lab.addGuest();
    const evil = await lab.addGuest();
    const third = await lab.addGuest();
    await lab.startServers(lab.host);
    const listen = [good, evil, third].flatMap(({ link }) => ['--listen', link]);
    const daemon = await lab.startDaemon([...listen, ...args]);
    for (const guest of [good, evil, third]) await guest.lease();
    return { good, evil, third, daemon };
  }
  const addressOf = async (guest: Guest): Promise<string> =>
    /192\.168\.127\.\d+/.exec(
      await guest.run('ip', '-4', '-br', 'addr', 'show', 'dev', 'eth0'),
    )?.[0] ?? '';
  const pings = async (from: Guest, to: string): Promise<boolean> =>
    (await from.try('ping', '-c', '2', '-i', '0.1', '-W', '1', to)).status === 0;

  it('nobody can be another guest, the gateway or the host', async () => {
    const publish = ['--publish', `127.0.0.1:${PORT}:${PORT}`, '--guest-api', 'on'];
    const { good, evil, third, daemon } = await three(...publish);
    const [goodIp, thirdIp] = [await addressOf(good), await addressOf(third)];
    const names: Names = {
      evilMac: await macOfGuest(evil),
      evilIp: wordOf(await addressOf(evil)),
      goodMac: await macOfGuest(good),
      goodIp: wordOf(goodIp),
      goodIp6: await addAddress6(good, 1),
      thirdMac: await macOfGuest(third),
    };
    await addAddress6(third, 3);
    assert.ok(await pings(third, names.goodIp6));
    await serveName(good, 'the good guest');
    await serveName(evil, 'the evil guest');
    assert.equal(await fetch(lab.host, `http://127.0.0.1:${PORT}/`), 'the good guest');

    const frames = spoofs(names);
    const sent = new Set(frames.map(hex));
    const [attack, goodCard, thirdCard] = [card(evil), card(good), card(third)];
    await evil.run('ip', 'addr', 'add', `${goodIp}/24`, 'dev', 'eth0');
    for (let round = 0; round < ROUNDS; round++) {
      attack.send(...frames);
      const release = { src: names.goodIp, dst: GATEWAY_IP };
      for (const srcMac of [names.evilMac, names.goodMac]) {
        const message = dhcp(7, names.goodMac, { ciaddr: names.goodIp });
        attack.send(udpFrame(68, 67, message, { ...release, srcMac }));
        attack.send(udpFrame(68, 67, message, { ...release, srcMac, src: names.evilIp }));
      }
      await third.run('ip', 'neigh', 'flush', 'all');
      await good.run('ip', 'neigh', 'flush', 'all');
      assert.equal(await fetch(third, `http://${goodIp}:${PORT}/`), 'the good guest');
      assert.equal(await fetch(lab.host, `http://127.0.0.1:${PORT}/`), 'the good guest');
      assert.equal(await fetch(good, `http://${HOST}:${HTTP_PORT}/`), 'hello from the host\n');
    }
    for (const heard of [...goodCard.heard(), ...thirdCard.heard()]) {
      assert.ok(!sent.has(heard), `heard by another guest: ${heard}`);
    }
    assert.ok(await pings(good, thirdIp));
    assert.ok(await pings(third, names.goodIp6));
    for (const guest of [good, third]) {
      assert.equal((await guest.run('ip', '-6', 'route', 'show', 'default')).trim(), '');
      assert.match(
        await guest.run('ip', 'route', 'show', 'default'),
        new RegExp(`via ${GATEWAY} `),
      );
    }

    const mine = ['--interface', await addressOf(evil)];
    const stolen = ['--interface', goodIp];
    const [host, api] = [
      `http://${HOST}:${HTTP_PORT}/`,
      `http://${GATEWAY}/services/forwarder/all`,
    ];
    assert.equal(await fetch(evil, host, ...mine), 'hello from the host\n');
    assert.equal(await fetch(evil, host, ...stolen), '');
    assert.notEqual(await fetch(evil, api, ...mine), '');
    assert.equal(await fetch(evil, api, ...stolen), '');

    assert.ok((await daemon.request('/v1/leases')).includes(`"${goodIp}"`));
    assert.equal((await good.lease()).address, goodIp);
    const metrics = await daemon.request('/metrics');
    for (const reason of [
      ...['ethernet-source-of-another', 'ipv4-source-of-another', 'ipv6-source-of-another'],
      ...['arp-claims-foreign-address', 'arp-claims-our-address', 'ndp-claims-foreign-address'],
      ...['guest-dhcp-answer', 'guest-router-advertisement', 'guest-redirect', 'guest-not-ip'],
    ]) {
      assert.match(metrics, new RegExp(`reason="${reason}"`), reason);
    }
    assert.match(daemon.stderr, /uses an address of another/);
    const { guests } = JSON.parse(await daemon.request('/v1/guests'));
    for (const { mac, framesRefused } of guests) {
      const isEvil = macOf(mac) === names.evilMac;
      assert.equal(framesRefused > ROUNDS * 20, isEvil, `${mac}: ${framesRefused}`);
    }
  });

  it('an Ethernet address on two links stays with the first, until that is gone', async () => {
    const socket = lab.path('qemu.sock');
    const first = await lab.addGuest({ bridgeTo: socket });
    const second = await lab.addGuest();
    const third = await lab.addGuest();
    // As the target of a migration: it sends nothing before it has the address.
    await second.run('sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1');
    await lab.startDaemon([
      ...['--listen', `qemu:${socket}`, '--listen', second.link, '--listen', third.link],
    ]);
    const bridge = await first.plug();
    const { address } = await first.lease();
    await third.lease();
    const mac = await macOfGuest(first);
    const text = mac
      .toString(16)
      .padStart(12, '0')
      .replace(/..(?!$)/g, '$&:');
    await second.run('ip', 'link', 'set', 'eth0', 'address', text, 'up');
    await second.run('ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    assert.ok(!(await pings(second, GATEWAY)));
    assert.ok(await pings(first, GATEWAY));
    await bridge?.stop();
    await until('the other link to have it', () => pings(second, GATEWAY));
    assert.ok(await pings(third, address));
    await second.run('ip', 'addr', 'flush', 'dev', 'eth0');
    assert.equal((await second.lease()).address, address, 'DHCP too');
  });

  it('isolated guests reach the host and not each other', async () => {
    const { good, third } = await three('--isolate-guests');
    const address = await addressOf(good);
    await third.run(
      'ip',
      'neigh',
      'replace',
      address,
      'lladdr',
      formatted(await macOfGuest(good)),
      'dev',
      'eth0',
    );
    assert.ok(!(await pings(third, address)));
    await addAddress6(third, 3);
    assert.ok(!(await pings(third, await addAddress6(good, 1))));
    for (const guest of [good, third]) {
      assert.equal(await fetch(guest, `http://${HOST}:${HTTP_PORT}/`), 'hello from the host\n');
    }
  });

  it('trusted guests may use the addresses of each other', async () => {
    const { good, evil, third } = await three('--trust-guests');
    const address = await addressOf(good);
    await serveName(evil, 'the other guest');
    await good.run('ip', 'addr', 'flush', 'dev', 'eth0');
    await evil.run('ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    await third.run('ip', 'neigh', 'flush', 'all');
    assert.equal(await fetch(third, `http://${address}:${PORT}/`), 'the other guest');
  });

  it('an address of the list moves between its links at once', async () => {
    const [one, two] = [await lab.addGuest(), await lab.addGuest()];
    const lists = [one, two].flatMap(({ link }) => ['--allow-address', `${link}=${NEVER_USED}`]);
    const listen = [one, two].flatMap(({ link }) => ['--listen', link]);
    const publish = ['--publish', `127.0.0.1:${PORT}:${NEVER_USED}:${PORT}`];
    await lab.startDaemon([...listen, ...lists, ...publish]);
    for (const guest of [one, two]) {
      await guest.lease();
      await serveName(guest, guest.name);
    }
    const macs = [await macOfGuest(one), await macOfGuest(two)];
    for (const turn of [0, 1, 0]) {
      const [to, from] = turn === 0 ? [one, two] : [two, one];
      await from.try('ip', 'addr', 'del', `${NEVER_USED}/32`, 'dev', 'eth0');
      await to.run('ip', 'addr', 'add', `${NEVER_USED}/32`, 'dev', 'eth0');
      card(to).send(arpFrame(1, macs[turn] ?? 0, wordOf(NEVER_USED), wordOf(NEVER_USED)));
      await until(
        `${to.name} to have it`,
        async () => (await fetch(lab.host, `http://127.0.0.1:${PORT}/`)) === to.name,
      );
    }
  });
});

const formatted = (mac: number): string =>
  mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?!$)/g, '$&:');
