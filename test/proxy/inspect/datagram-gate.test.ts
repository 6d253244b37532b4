import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { Counters } from '../../../src/base/counters.ts';
import { loadPosix } from '../../../src/native/load.ts';
import type { Destination } from '../../../src/proxy/flows/destination.ts';
import { Destinations } from '../../../src/proxy/flows/destinations.ts';
import { ImmediateFlush } from '../../../src/proxy/flush-scheduler.ts';
import { DatagramGate } from '../../../src/proxy/inspect/datagram-gate.ts';
import { DatagramGates } from '../../../src/proxy/inspect/datagram-gates.ts';
import { GateShares } from '../../../src/proxy/inspect/gate-shares.ts';
import type { NameCheck } from '../../../src/proxy/inspect/name-check.ts';
import { NO_TARGET } from '../../../src/proxy/udp/host-target.ts';
import { Outboxes } from '../../../src/proxy/udp/outbox.ts';
import { SendPool, type SendSlot } from '../../../src/proxy/udp/send-pool.ts';
import { UdpNat } from '../../../src/proxy/udp/udp-nat.ts';
import { helloMessage } from '../../services/sniff/hello-bytes.ts';
import { cryptoFrame, initialPacket } from '../../services/sniff/quic-bytes.ts';
import { testGuest } from '../../support/test-guest.ts';
import {
  addressMap,
  datagram,
  flowBook,
  HOST,
  OWNER,
  RecordingDownstream,
  SOCKETS,
  TestClock,
  until,
} from '../recording.ts';

const NAME = 'a.test';
const MESSAGE = helloMessage({ name: NAME });
const EVIL = helloMessage({ name: 'b.test' });
const SHORT = Uint8Array.of(0x40, 1, 2, 3);

const initial = (number: number, frames: Uint8Array, id = 1): Uint8Array =>
  initialPacket({ destination: new Uint8Array(8).fill(id), number, frames });
const HALVES = [
  initial(0, cryptoFrame(0, MESSAGE.subarray(0, 50))),
  initial(1, cryptoFrame(50, MESSAGE.subarray(50))),
] as const;

class Check implements NameCheck {
  readonly names: (string | undefined)[] = [];
  readonly faults: string[] = [];
  /** The rules allow the address without any name. */
  isOpen = false;
  onClaim({ name }: { readonly name: string | undefined }): string | undefined {
    this.names.push(name);
    return name === NAME ? undefined : 'not allowed';
  }
  onFault(fault: string): string | undefined {
    this.faults.push(fault);
    return this.isOpen ? undefined : fault;
  }
}

describe('proxy/inspect: a gate in front of datagrams', () => {
  let pool: SendPool;
  let check: Check;
  beforeEach(() => {
    pool = new SendPool();
    check = new Check();
  });

  const give = (slot: SendSlot): void => pool.give(slot);
  const slotOf = (bytes: Uint8Array): SendSlot => {
    const slot = pool.take(bytes.length, NO_TARGET);
    assert.ok(slot !== undefined);
    slot.bytes.set(bytes);
    return slot;
  };

  it('holds a part of a hello, and gives it back in its order', () => {
    const gate = new DatagramGate(443, check, give);
    const first = slotOf(HALVES[0]);
    assert.equal(gate.judge(first), 'hold');
    assert.equal(gate.judge(slotOf(HALVES[1])), 'pass');
    assert.deepEqual(gate.takeHeld(), [first]);
    assert.deepEqual([gate.takeHeld(), check.names], [[], [NAME]]);
    gate.close();
  });

  it('is denied for good once it was, with what it held', () => {
    const gate = new DatagramGate(443, check, give);
    gate.judge(slotOf(HALVES[0]));
    const denied = slotOf(initial(0, cryptoFrame(0, EVIL), 2));
    assert.equal(gate.judge(denied), 'denied');
    pool.give(denied);
    assert.deepEqual([pool.lentBytes, gate.takeHeld()], [0, []]);
    const later = slotOf(initial(0, cryptoFrame(0, MESSAGE), 3));
    assert.equal(gate.judge(later), 'denied');
    assert.deepEqual([check.names, check.faults], [['b.test'], []]);
  });

  it('is denied for what cannot be read, said once, where nothing but QUIC is expected', () => {
    const gate = new DatagramGate(443, check, give);
    assert.equal(gate.judge(slotOf(SHORT)), 'denied');
    assert.equal(gate.judge(slotOf(SHORT)), 'denied');
    assert.deepEqual(check.faults, ['quic-unreadable']);
    assert.equal(new DatagramGate(5000, check, give).judge(slotOf(SHORT)), 'pass');
  });

  it('holds no more than 16 KiB, and not for long', async () => {
    const many = new DatagramGate(443, check, give);
    for (let i = 0; i < 13; i++) assert.equal(many.judge(slotOf(HALVES[0])), 'hold');
    const last = slotOf(HALVES[0]);
    assert.equal(many.judge(last), 'denied');
    pool.give(last);
    assert.equal(pool.lentBytes, 0);
    const late = new DatagramGate(443, check, give, 1);
    late.judge(slotOf(HALVES[0]));
    await until(() => check.faults.length === 2);
    assert.deepEqual(check.faults, ['quic-too-long', 'first-bytes-late']);
    assert.equal(pool.lentBytes, 0);
  });

  describe('where the address is open without any name', () => {
    beforeEach(() => {
      check.isOpen = true;
    });

    it('passes what cannot be read, and reads no more', () => {
      const gate = new DatagramGate(443, check, give);
      assert.equal(gate.judge(slotOf(SHORT)), 'pass');
      assert.equal(gate.judge(slotOf(initial(0, cryptoFrame(0, EVIL)))), 'pass');
      assert.deepEqual([check.faults, check.names], [['quic-unreadable'], []]);
      gate.close();
      assert.equal(gate.judge(slotOf(SHORT)), 'denied');
    });

    it('passes what it held, in its order, once it is too much', () => {
      const gate = new DatagramGate(443, check, give);
      const held = Array.from({ length: 13 }, () => slotOf(HALVES[0]));
      for (const slot of held) assert.equal(gate.judge(slot), 'hold');
      assert.equal(gate.judge(slotOf(HALVES[0])), 'pass');
      assert.deepEqual([gate.takeHeld(), check.faults], [held, ['quic-too-long']]);
    });

    it('gives up what it held for too long, and passes what follows', async () => {
      const gate = new DatagramGate(443, check, give, 1);
      gate.judge(slotOf(HALVES[0]));
      await until(() => pool.lentBytes === 0);
      assert.equal(gate.judge(slotOf(HALVES[0])), 'pass');
      assert.deepEqual([gate.takeHeld(), check.faults], [[], ['first-bytes-late']]);
    });

    it('is kept by its port', () => {
      const gates = new DatagramGates(OWNER, new GateShares(), give);
      const gate = gates.of(HOST, 443, check);
      gate.judge(slotOf(SHORT));
      assert.equal(gates.of(HOST, 443, check), gate);
      gates.close();
    });
  });

  it('is one for each destination of a port, of which a limited number is kept', () => {
    const gates = new DatagramGates(OWNER, new GateShares(), give);
    const gate = gates.of(HOST, 443, check);
    gate.judge(slotOf(HALVES[0]));
    for (let port = 1; port < 64; port++) gates.of(HOST, port, check);
    assert.equal(gates.of(HOST, 443, check), gate);
    gates.of(HOST, 64, check);
    gates.of(HOST, 65, check);
    assert.equal(gates.of(HOST, 443, check), gate);
    for (let port = 100; port < 164; port++) gates.of(HOST, port, check);
    assert.notEqual(gates.of(HOST, 443, check), gate);
    assert.equal(pool.lentBytes, 0);
    gates.close();
  });
});

describe('proxy/inspect: the gates of all guests', () => {
  const give = (): void => {};
  const check = new Check();

  it('are a budget, of which the guest that has the most gives its oldest to another', () => {
    const shares = new GateShares(4);
    const [many, few] = [testGuest(), testGuest()];
    const ofMany = new DatagramGates(many, shares, give);
    const gates = [1, 2, 3, 4].map((port) => ofMany.of(HOST, port, check));
    const one = new DatagramGates(few, shares, give).of(HOST, 1, check);
    assert.deepEqual(
      [one.isClosed, ...gates.map(({ isClosed }) => isClosed)],
      [false, true, false, false, false],
    );
    assert.equal(shares.budget.held, 4);
    const next = ofMany.of(HOST, 5, check);
    assert.deepEqual([next.isClosed, gates[1]?.isClosed, shares.budget.held], [false, true, 4]);
    assert.notEqual(ofMany.of(HOST, 1, check), gates[0], 'one that was evicted begins anew');
    ofMany.close();
    assert.equal(shares.budget.held, 1);
  });

  it('deny everything where there is no room for another', () => {
    const gate = new DatagramGates(testGuest(), new GateShares(0), give).of(HOST, 1, check);
    const slot = new SendPool().take(4, NO_TARGET);
    assert.ok(slot !== undefined);
    assert.equal(gate.judge(slot), 'denied');
  });

  it('remember a denial without being one of them', () => {
    const shares = new GateShares(1);
    const gates = new DatagramGates(testGuest(), shares, give);
    const gate = gates.of(HOST, 443, check);
    const slot = new SendPool().take(4, NO_TARGET);
    assert.ok(slot !== undefined);
    assert.equal(gate.judge(slot), 'denied');
    assert.deepEqual([shares.budget.held, gates.of(HOST, 443, check)], [0, gate]);
  });
});

describe('proxy/inspect: datagrams of a guest', () => {
  /** Where every destination is inspected. */
  class Inspecting extends Destinations {
    check: Check | undefined = undefined;
    override decide(...args: Parameters<Destinations['decide']>): Destination {
      const to = super.decide(...args);
      return to.kind === 'host-loopback' ? { ...to, check: this.check } : to;
    }
  }

  let server: Socket;
  let got: Buffer[];
  let nat: UdpNat;
  let pool: SendPool;
  let down: RecordingDownstream;
  const check = new Check();
  const send = (bytes: Uint8Array): void => {
    nat.onDatagram(0, datagram(5000, `${HOST}`, server.address().port, bytes));
  };

  beforeEach(async () => {
    const addresses = addressMap();
    const inspecting = new Inspecting({
      ...{ addresses, isOwnListener: () => false, refusals: new Counters() },
    });
    inspecting.check = check;
    const posix = loadPosix();
    pool = new SendPool();
    down = new RecordingDownstream();
    const outboxes = new Outboxes(() => undefined);
    nat = new UdpNat({
      ...{ downstream: down, clock: new TestClock(), addresses, destinations: inspecting },
      ...{ flush: new ImmediateFlush(() => {}), pool, outboxes, native: { posix } },
      ...{ sockets: SOCKETS, book: flowBook(), seed: 5 },
    });
    got = [];
    server = createSocket('udp4').on('message', (bytes) => got.push(bytes));
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    nat.close();
    server.close();
    assert.equal(pool.lentBytes, 0);
  });

  it('go to the host in their order once the name is known', async () => {
    for (const bytes of HALVES) send(bytes);
    send(SHORT);
    await until(() => got.length === 3);
    assert.deepEqual(
      got.map((bytes) => Uint8Array.from(bytes)),
      [...HALVES, SHORT],
    );
    await until(() => pool.lentBytes === 0);
  });

  it('are answered by an ICMP error, and do not go to the host, for another name', async () => {
    send(SHORT);
    await until(() => got.length === 1);
    send(initial(0, cryptoFrame(0, EVIL)));
    send(SHORT);
    assert.deepEqual(
      down.errors.map(({ error }) => error),
      ['prohibited', 'prohibited'],
    );
    await until(() => pool.lentBytes === 0);
    assert.equal(got.length, 1);
  });

  it('that are held go with their flow', () => {
    send(HALVES[0]);
    assert.ok(pool.lentBytes > 0);
  });
});
