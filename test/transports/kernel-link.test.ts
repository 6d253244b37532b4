/** Links against the real kernel: TAP devices and packet sockets in namespaces of our own. */
import assert from 'node:assert/strict';
import { loadPosix } from '../../src/native/load.ts';
import type { OpenLink } from '../../src/transports/link-context.ts';
import { parseLinkSpec } from '../../src/transports/link-spec.ts';
import { openLink } from '../../src/transports/open-link.ts';
import { openPacketLink } from '../../src/transports/packet-link.ts';
import { Namespace } from '../native/namespace.ts';
import { describeNeeding, itNeeding, NAMESPACES } from '../support/requirements.ts';
import { contextFor, type RecordedLink, RecordingAcceptor } from './recorder.ts';

const MAC = Buffer.from('020000000001', 'hex');

interface Guest {
  readonly net: Namespace;
  readonly link: RecordedLink;
  readonly open: OpenLink;
  largest: number;
}

type Kind = 'tap' | 'packet' | 'packet+vnet';

async function guest(kind: Kind, mtu = 1500): Promise<Guest> {
  const net = new Namespace();
  const acceptor = new RecordingAcceptor();
  const context = contextFor(acceptor, mtu);
  let open: OpenLink;
  if (kind === 'tap') {
    open = await openLink(parseLinkSpec(`tap:eth0@${net.name}`), context);
  } else {
    net.ip('link add eth0 type veth peer name far0');
    net.ip('link set far0 up');
    net.ip('link set eth0 up');
    const fd = loadPosix().openPacketSocket('far0', net.name, kind === 'packet+vnet');
    open = openPacketLink(fd, kind === 'packet+vnet', `packet:far0@${net.name}`, context);
  }
  return { net, link: await acceptor.link(0), open, largest: 0 };
}

/** Hand every frame of one guest to the other, work left to the kernel included. */
function relay(from: Guest, to: Guest): void {
  from.link.keepFrames = false;
  from.link.onFrameHook = (frame) => {
    const { slab, off, len } = frame;
    if (len > from.largest) from.largest = len;
    const { writer } = to.link;
    writer.slab.bytes.set(slab.bytes.subarray(off, off + len), writer.reserve(len));
    if (frame.checksum === 'partial') writer.commitOffload(len, frame);
    else writer.commit(len);
  };
}

/** Answer ARP for 10.9.0.1 and echo requests to it. */
function answer(link: RecordedLink): void {
  link.onFrameHook = ({ slab, off, len }) => {
    const frame = Buffer.from(slab.bytes.subarray(off, off + len));
    frame.copy(frame, 0, 6, 12);
    MAC.copy(frame, 6);
    const type = frame.readUInt16BE(12);
    if (type === 0x0806) {
      frame.writeUInt16BE(2, 20);
      const asker = Buffer.from(frame.subarray(22, 32));
      const asked = Buffer.from(frame.subarray(38, 42));
      Buffer.concat([MAC, asked, asker]).copy(frame, 22);
    } else if (type === 0x0800 && frame[23] === 1 && frame[34] === 8) {
      const source = Buffer.from(frame.subarray(26, 30));
      frame.copy(frame, 26, 30, 34);
      source.copy(frame, 30);
      frame[34] = 0;
      const sum = frame.readUInt16BE(36) + 0x0800; // RFC 1624: the type went down by 8
      frame.writeUInt16BE((sum & 0xffff) + (sum >> 16), 36);
    } else return;
    link.send(frame);
  };
}

const SEND = 'head -c 20000000 /dev/zero | tr "\\0" "x" | nc -N';
const DIGEST = 'sha256sum | cut -c1-16';

describeNeeding('transports/links to the kernel', [...NAMESPACES, 'tun'], () => {
  const guests: Guest[] = [];
  const made = async (kind: Kind, mtu?: number): Promise<Guest> => {
    const one = await guest(kind, mtu);
    guests.push(one);
    return one;
  };
  afterEach(async () => {
    for (const { open, net } of guests.splice(0)) {
      await open.close();
      net.remove();
    }
  });

  for (const kind of ['tap', 'packet', 'packet+vnet'] as const) {
    itNeeding(
      `${kind}: the kernel resolves and pings what the reader answers for`,
      ['ping'],
      async () => {
        const { net, link } = await made(kind);
        answer(link);
        net.ip('addr add 10.9.0.2/24 dev eth0');
        const out = await net.run('ping -c 3 -i 0.01 -w 5 -s 1400 10.9.0.1');
        assert.match(out, /3 received/);
        assert.ok(link.frames.some((frame) => frame.bytes.length === 1442));
      },
    );
  }

  it('tap: comes up with the MTU asked for', async () => {
    const { net } = await made('tap', 65520);
    assert.match(await net.run('ip link show eth0'), /<[^>]*UP[^>]*> mtu 65520/);
  });

  it('tap: goes down when the device is deleted', async () => {
    const { net, link, open } = await made('tap');
    net.ip('link del eth0');
    await link.until(() => link.downs === 1);
    assert.match(open.failure ?? '', /interface was deleted.*restart hawser/);
  });

  it('tap: one that we make has the same Ethernet address each time, another elsewhere', async () => {
    const { net, open } = await made('tap');
    const address = async (name: string): Promise<string> =>
      (await net.run(`cat /sys/class/net/${name}/address`)).trim();
    const first = await address('eth0');
    assert.match(first, /^.[26ae]:/, 'locally administered');
    await open.close();
    const context = contextFor(new RecordingAcceptor());
    const again = await openLink(parseLinkSpec(`tap:eth0@${net.name}`), context);
    assert.equal(await address('eth0'), first);
    const other = await openLink(parseLinkSpec(`tap:eth1@${net.name}`), context);
    assert.notEqual(await address('eth1'), first);
    await again.close();
    await other.close();
  });

  it('tap: one that is there keeps its Ethernet address', async () => {
    const { net } = await made('tap');
    net.ip('tuntap add dev tap9 mode tap');
    net.ip('link set tap9 address 52:54:00:99:99:99');
    const context = contextFor(new RecordingAcceptor());
    const link = await openLink(parseLinkSpec(`tap:tap9@${net.name}`), context);
    const address = await net.run('cat /sys/class/net/tap9/address');
    assert.equal(address.trim(), '52:54:00:99:99:99');
    await link.close();
  });

  it('tap: says when another program has it', async () => {
    const { net } = await made('tap');
    await assert.rejects(
      openLink(parseLinkSpec(`tap:eth0@${net.name}`), contextFor(new RecordingAcceptor())),
      { code: 'EBUSY', message: /another program/ },
    );
  });

  for (const kind of ['tap', 'packet+vnet'] as const) {
    for (const [family, one, two] of [
      [4, '10.9.0.1/24', '10.9.0.2/24'],
      [6, 'fd09::1/64', 'fd09::2/64'],
    ] as const) {
      itNeeding(
        `${kind}: TCP over IPv${family} goes in frames far above the MTU, both ways`,
        ['nc', 'ss'],
        async () => {
          const a = await made(kind);
          const b = await made(kind);
          relay(a, b);
          relay(b, a);
          const flags = family === 6 ? ' nodad' : '';
          a.net.ip(`addr add ${one} dev eth0${flags}`);
          b.net.ip(`addr add ${two} dev eth0${flags}`);
          const target = two.replace(/\/.*/, '');
          const sink = b.net.run(`nc -${family} -l 9000 | ${DIGEST}`);
          await b.net.run('until ss -Htln | grep -q :9000; do sleep 0.01; done');
          const sent = await a.net.run(
            `${SEND} ${target} 9000; ${SEND.replace(/\|[^|]*$/, '')} | ${DIGEST}`,
          );
          assert.equal(await sink, sent);
          assert.ok(a.largest > 20_000, `largest frame ${a.largest}`);
          const { drops, framesToHost, bytesToHost } = a.open.stats;
          assert.deepEqual(drops.snapshot(), {});
          assert.ok(bytesToHost / framesToHost > 3000, 'segments were left uncut');
        },
      );
    }
  }
});
