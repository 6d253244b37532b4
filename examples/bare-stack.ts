/**
 * `hawser/stack` alone: two stacks joined back to back, one in the place of the gateway, one in that of a guest. No
 * socket, no timer and no clock: time is a number that this program counts up.
 */
import {
  Frame,
  type FrameReader,
  type FrameWriter,
  type Instant,
  type IpAddress,
  ipv4,
  makeSlab,
  NEVER,
  type Slab,
  Stack,
  seededRandom,
  type TcpFlow,
  type TcpFlowHandler,
  type Upstream,
} from 'hawser/stack';

const GATEWAY = ipv4(0xc0a8_7f01);
const GUEST = ipv4(0xc0a8_7f02);
const SUBNET = ipv4(0xc0a8_7f00);

/** One end of a wire: frames that a stack writes wait here for the other's turn. */
class Wire implements FrameWriter {
  readonly slab: Slab = makeSlab(65_536);
  readonly offload = false;
  readonly frames: Uint8Array[] = [];

  reserve(): number {
    return 0;
  }

  commit(len: number): void {
    if (len > 0) this.frames.push(this.slab.bytes.slice(0, len));
  }

  commitOffload(): void {
    throw new Error('this wire offloads nothing');
  }

  flush(): void {}
}

/** What a stack does with a connection: print, and answer in upper case if it is the server. */
const handler = (name: string, isServer: boolean): TcpFlowHandler => ({
  onOpen: () => console.log(`${name}: open`),
  onReadable: (now, flow: TcpFlow) => {
    const text = new TextDecoder().decode(flow.readable());
    flow.release(now, flow.receivedLen);
    console.log(`${name}: received "${text}"`);
    if (isServer) send(now, flow, text.toUpperCase());
  },
  onWritable: () => {},
  onPeerEnd: (now, flow) => {
    console.log(`${name}: the peer has ended`);
    flow.shutdown(now);
  },
  onClosed: (_now, _flow, reason) => console.log(`${name}: closed, ${reason}`),
});

function send(now: Instant, flow: TcpFlow, text: string): void {
  const bytes = new TextEncoder().encode(text);
  flow.send(now, bytes, 0, bytes.length);
}

/** Takes every connection. */
const upstream: Upstream = {
  onTcpRequest: (now, request) => {
    console.log(`gateway: ${request.id.guest} connects to port ${request.id.remotePort}`);
    request.accept(now, handler('gateway', true));
  },
  onDatagram: () => {},
  onEcho: () => {},
};

const stackAt = (address: IpAddress, mac: number, seed: number): Stack =>
  new Stack(
    {
      subnet: SUBNET,
      prefixLen: 24,
      gateway: address,
      host: undefined,
      mtu: 1500,
      mac,
      verifyChecksums: true,
      tcp: {},
    },
    0,
    seededRandom(seed),
    upstream,
  );

let now: Instant = 0;
/** What is said of a frame besides its bytes: one record for all. */
const facts = new Frame();
const gateway = stackAt(GATEWAY, 0x5a94_efe4_0cdd, 1);
const guest = stackAt(GUEST, 0x5254_0000_0001, 2);
const toGuest = new Wire();
const toGateway = new Wire();
const ends: [Wire, FrameReader | undefined][] = [
  [toGuest, guest.attach(now, 'wire', toGateway)],
  [toGateway, gateway.attach(now, 'wire', toGuest)],
];

/** Carry frames, and let time pass when there are none, until `until`. */
function run(until: Instant): void {
  for (;;) {
    let carried = 0;
    for (const [wire, reader] of ends) {
      const frames = wire.frames.splice(0);
      for (const frame of frames) {
        const slab = makeSlab(frame.length);
        slab.bytes.set(frame);
        reader?.onFrame(now, facts.set(slab, 0, frame.length));
      }
      if (frames.length > 0) reader?.onBatchEnd(now);
      carried += frames.length;
    }
    if (carried > 0) continue;
    const next = Math.min(gateway.nextTimeout(), guest.nextTimeout());
    if (next === NEVER || next > until) return;
    now = next;
    gateway.onTimeout(now);
    guest.onTimeout(now);
  }
}

// The guest's stack dials: what is "the guest" to it is the gateway.
const id = { guest: GATEWAY, guestPort: 7, remote: GUEST, remotePort: 40_000 };
const flow = guest.dial(now, id, handler('guest', false));
if (flow === undefined) throw new Error('no room for a connection');
run(1_000);
send(now, flow, 'hello');
guest.flush();
run(2_000);
flow.shutdown(now);
guest.flush();
run(200_000);
console.log(
  `virtual time: ${Math.round(now)} ms; drops: ${JSON.stringify(gateway.drops.snapshot())}`,
);
