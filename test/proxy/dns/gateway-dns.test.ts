/** Guests' DNS connections: their ends, and how many there may be. */
import assert from 'node:assert/strict';
import { DNS_TCP_LIMITS, GatewayDns } from '../../../src/proxy/dns/gateway-dns.ts';
import { FlowBook } from '../../../src/proxy/flows/flow-book.ts';
import type { ServiceLimits } from '../../../src/proxy/service-clients.ts';
import { frameDnsMessage } from '../../../src/services/dns/tcp-framing.ts';
import type { TcpRequest } from '../../../src/stack/flow.ts';
import { queryBytes } from '../../services/dns/dns-wire.ts';
import { GATEWAY_IP, GUEST_IP, GUEST_MAC, type IpFields } from '../../support/frames.ts';
import { lend } from '../../support/lend.ts';
import { PLAIN, RecordingWriter, Script } from '../../support/script.ts';
import { makeForwarder } from './lab.ts';

const QUERY = frameDnsMessage(queryBytes('name.example'));
const DPORT = 53;

/** A script whose connections all go to the gateway's DNS, which has no upstream. */
class DnsScript extends Script {
  readonly forwarder = makeForwarder({ upstreams: [], now: () => this.now });
  readonly book = new FlowBook({ now: () => this.now });
  readonly dns: GatewayDns;

  constructor(limits: ServiceLimits = DNS_TCP_LIMITS) {
    super();
    const clock = { now: () => this.now, wakeAt: () => {} };
    const flusher = { schedule: (): void => {} };
    this.dns = new GatewayDns(this.forwarder, this.stack, clock, flusher, this.book, limits);
  }

  override onTcpRequest(now: number, request: TcpRequest): void {
    this.dns.onRequest(now, request);
  }

  connect(sport: number, from = 0): void {
    const ip = ipOf(from);
    this.in({ flags: 'S', sport, dport: DPORT, ip, ...PLAIN });
    this.records();
    this.in({ seq: 1, ack: 1, sport, dport: DPORT, ip });
  }

  say(sport: number, seq: number, data: Uint8Array): void {
    this.in({ seq, ack: 1, sport, dport: DPORT, ip: ipOf(0), data });
  }

  pass(ms: number): this {
    for (let left = ms; left > 0; left -= 100) {
      this.advance(Math.min(left, 100));
      if (this.now >= this.dns.nextTimeout()) this.dns.onTimeout(this.now);
      this.stack.flush();
    }
    return this;
  }

  counts(): Readonly<Record<string, number>> {
    return this.forwarder.counts.snapshot();
  }
}

const ipOf = (from: number): IpFields => ({
  dst: GATEWAY_IP,
  src: GUEST_IP + from,
  srcMac: GUEST_MAC + 4 * from,
});

describe('proxy/dns gateway', () => {
  it('ends a connection that is idle for ten seconds, and resets it when the guest does not', () => {
    const s = new DnsScript();
    s.connect(1000);
    s.pass(9000);
    assert.equal(s.out().length, 0);
    s.pass(2100);
    assert.match(s.out().join(), /^FA 1\+0/);
    assert.equal(s.dns.connectionCount, 1);
    s.pass(11_100);
    assert.match(s.out().join(), /RA 2\+0/);
    assert.deepEqual([s.dns.connectionCount, s.stack.tcp.connectionCount], [0, 0]);
    assert.equal(s.counts()['tcp-idle'], 1);
    assert.equal(s.dns.nextTimeout(), Number.POSITIVE_INFINITY);
  });

  it('a part of a query is no use of the connection, and costs what it is', () => {
    const s = new DnsScript();
    s.connect(1000);
    for (let i = 0; i < 20; i++) {
      s.say(1000, 1 + i, QUERY.subarray(i, i + 1));
      s.say(1000, 60_000, QUERY.subarray(0, 1));
      s.pass(500);
    }
    assert.ok(s.stack.tcp.pool.inUse <= 1024);
    s.pass(1100);
    assert.ok(s.out().some((line) => line.startsWith('FA')));
    s.pass(11_100);
    assert.equal(s.stack.tcp.connectionCount, 0);
    assert.equal(s.stack.tcp.pool.inUse, 0);
  });

  it('queries keep it open', () => {
    const s = new DnsScript();
    s.connect(1000);
    let seq = 1;
    for (let i = 0; i < 5; i++) {
      s.say(1000, seq, QUERY);
      seq += QUERY.length;
      s.pass(8000);
    }
    assert.equal(s.dns.connectionCount, 1);
    assert.equal(s.counts()['tcp-idle'], undefined);
  });

  it('leaves the table when the guest ends it', () => {
    const s = new DnsScript();
    s.connect(1000);
    s.in({ flags: 'FA', seq: 1, ack: 1, sport: 1000, dport: DPORT, ip: ipOf(0) });
    s.in({ seq: 2, ack: 2, sport: 1000, dport: DPORT, ip: ipOf(0) });
    assert.equal(s.dns.connectionCount, 0);
    s.connect(1001);
    s.in({ flags: 'R', seq: 1, sport: 1001, dport: DPORT, ip: ipOf(0) });
    assert.equal(s.dns.connectionCount, 0);
  });

  it('beyond its limit a guest loses the connection that it has not used for longest', () => {
    const s = new DnsScript({ ...DNS_TCP_LIMITS, ofGuest: 3 });
    s.connect(1);
    const { iss } = s;
    for (const sport of [2, 3]) s.connect(sport);
    s.iss = iss;
    s.say(1, 1, QUERY);
    s.records();
    s.in({ flags: 'S', sport: 4, dport: DPORT, ip: ipOf(0), ...PLAIN });
    const reset = s.writer.take().length;
    assert.ok(reset >= 2, 'a reset and an answer');
    assert.equal(s.dns.connectionCount, 3);
    assert.deepEqual(
      [...s.stack.tcp].map(({ id }) => id.guestPort),
      [1, 3, 4],
    );
    assert.equal(s.counts()['tcp-evicted'], 1);
  });

  it('beyond the limit of all the guest with the most gives way, and never one with fewer', () => {
    const s = new DnsScript({ total: 12, ofGuest: 11, idleMs: 10_000 });
    const other = s.stack.attach(s.now, 'other', new RecordingWriter());
    assert.ok(other);
    const connectOther = (sport: number): void => {
      lend(other, s.now, s.segment({ flags: 'S', sport, dport: DPORT, ip: ipOf(1), ...PLAIN }));
      other.onBatchEnd(s.now);
    };
    connectOther(1);
    for (let sport = 1; sport <= 11; sport++) s.connect(sport, 0);
    for (let sport = 2; sport <= 4; sport++) connectOther(sport);
    assert.equal(s.dns.connectionCount, 12);
    const own = (from: number): number =>
      [...s.stack.tcp].filter(({ id }) => `${id.guest}`.endsWith(`.${(GUEST_IP + from) & 255}`))
        .length;
    assert.deepEqual([own(0), own(1)], [8, 4]);
    assert.equal(s.counts()['tcp-evicted'], 3);
  });
});
