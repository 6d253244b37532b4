/**
 * The guest of last resort, where neither a TAP nor a user namespace is available: a second
 * `Stack` in this process, joined to the network's segment by a link in memory. It gets its lease by
 * DHCP, asks the lease's DNS server, pings, and moves bytes over real TCP connections; but no kernel
 * other than the host's has a part in it, and it reaches only addresses on its own segment, which is
 * all that the self-check asks for.
 */
import { createHash, randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { decode, encode, RECURSION_DESIRED } from 'dns-packet';
import { formatIpv4, type IpAddress, ipv4 } from '../../base/ip-address.ts';
import type { Clock } from '../../base/time.ts';
import { cryptoRandom } from '../../network/crypto-random.ts';
import { parseAddress } from '../../services/address-text.ts';
import { Stack } from '../../stack/stack.ts';
import { NodeClock } from '../../transports/node-clock.ts';
import { SeededStream } from '../seeded-stream.ts';
import { LeftOutError } from '../step-report.ts';
import { type DhcpAnswer, dhcpRequest, readDhcpAnswer } from './dhcp-messages.ts';
import {
  type EmbeddedGuest,
  type GuestAcceptor,
  GuestError,
  type LeaseInfo,
  type OnProgress,
  type Transfer,
} from './embedded-guest.ts';
import { HttpExchange } from './http-exchange.ts';
import { SimulatedNic } from './simulated-nic.ts';
import { SimulatedServers } from './simulated-servers.ts';

/** Locally administered; the last bytes spell "hw". */
const MAC = 0x5254_0068_7701;
const DEFAULT_MTU = 1500;
const DNS_PORT = 53;
const SERVER_PORT = 8000;
const PINGS = 5;
const PING_DATA_LEN = 56;
const RETRY_MS = 1000;
const FIRST_RETRY_MS = 50;
const TRIES = 5;
const PROGRESS_EVERY_MS = 100;

/** The guest once it has an address. */
interface Online {
  readonly stack: Stack;
  readonly address: IpAddress;
  /** Of the segment. */
  readonly mask: number;
  readonly dns: IpAddress;
}

export class SimulatedGuest implements EmbeddedGuest {
  readonly kind = 'simulated';
  readonly about = "hawser's own TCP/IP stack a second time, simulated in this process";
  readonly link = undefined;
  private readonly clock: Clock = new NodeClock();
  private readonly nic = new SimulatedNic(MAC);
  private readonly ended = new AbortController();
  private online: Online | undefined = undefined;
  private isClosed = false;
  private readonly servers: SimulatedServers;
  private nextPort = 40_000;

  constructor() {
    this.servers = new SimulatedServers(this.clock, () => this.online?.stack.flush());
  }

  attach(network: GuestAcceptor): void {
    network.attachSegment(this.nic, 'simulated guest');
  }

  async lease(): Promise<LeaseInfo> {
    const xid = randomInt(0x7fff_ffff);
    const offer = await this.askDhcp(xid, undefined);
    const lease = await this.askDhcp(xid, offer);
    if (lease.type !== 'ack') throw new GuestError('the DHCP server takes its offer back');
    const prefixLen = Math.clz32(~lease.mask);
    this.start(lease, prefixLen);
    return {
      address: formatIpv4(lease.address),
      prefixLen,
      router: formatIpv4(lease.router),
      dns: formatIpv4(lease.dns),
      mtu: lease.mtu,
      client: "hawser's own client",
    };
  }

  async resolve(name: string): Promise<string> {
    const { stack, address, dns } = this.required();
    const guestPort = this.nextPort++;
    const id = randomInt(0x1_0000);
    const query = encode({
      type: 'query',
      id,
      flags: RECURSION_DESIRED,
      questions: [{ type: 'A', name }],
    });
    const flow = { guest: dns, guestPort: DNS_PORT, remote: address, remotePort: guestPort };
    return await this.ask<string>(`no answer to a DNS query for ${name}`, (answer) => {
      stack.serveUdp(guestPort, (_now, { slab, off, len }) => {
        const reply = decode(Buffer.from(slab.bytes.subarray(off, off + len)));
        if (reply.id !== id) return;
        const found = reply.answers?.find(({ type }) => type === 'A');
        answer(found?.type === 'A' ? found.data : '');
      });
      return () => {
        stack.sendDatagram(this.clock.now(), flow, query, 0, query.length);
        stack.flush();
      };
    });
  }

  ipv6Address(): Promise<string> {
    return Promise.reject(new LeftOutError('left out: the simulated guest has IPv4 alone'));
  }

  resolveIpv6(): Promise<string> {
    return this.ipv6Address();
  }

  async ping(address: string): Promise<number> {
    const own = this.required().address;
    const to = this.reachable(address);
    const identifier = randomInt(0x1_0000);
    let totalMs = 0;
    for (let sequence = 1; sequence <= PINGS; sequence++) {
      totalMs += await this.ask<number>(`no answer to a ping of ${address}`, (answer) => {
        let sentAt = 0;
        this.nic.onEchoReply = (from, id, number) => {
          if (from !== to.d || id !== identifier || number !== sequence) return;
          answer(performance.now() - sentAt);
        };
        return () => {
          sentAt = performance.now();
          this.nic.sendEcho(own.d, to.d, identifier, sequence, PING_DATA_LEN);
        };
      });
    }
    return totalMs / PINGS;
  }

  async download(url: string, onProgress: OnProgress): Promise<Transfer> {
    const hash = createHash('sha256');
    const report = throttled(onProgress);
    let bytes = 0;
    const ms = await this.exchange(url, 'GET', undefined, {
      onBody: (part) => {
        hash.update(part);
        bytes += part.length;
        report(bytes);
      },
      onSent: () => {},
    });
    return { bytes, sha256: hash.digest('hex'), ms };
  }

  /** @returns the body of the answer */
  async text(url: string): Promise<string> {
    const parts: Buffer[] = [];
    await this.exchange(url, 'GET', undefined, {
      onBody: (part) => parts.push(Buffer.from(part)),
      onSent: () => {},
    });
    return Buffer.concat(parts).toString();
  }

  async upload(
    url: string,
    seed: number,
    sizeBytes: number,
    onProgress: OnProgress,
  ): Promise<Transfer> {
    let text = '';
    const ms = await this.exchange(url, 'POST', new SeededStream(seed, sizeBytes), {
      onBody: (part) => {
        text += Buffer.from(part).toString();
      },
      onSent: throttled(onProgress),
    });
    const [, bytes, sha256 = ''] = /^bytes=(\d+) sha256=(\w+)/.exec(text) ?? [];
    if (bytes === undefined) throw new GuestError(`${url} answered ${text.slice(0, 80)}`);
    return { bytes: Number(bytes), sha256, ms };
  }

  serve(): Promise<number> {
    this.servers.serveFiles(SERVER_PORT);
    return Promise.resolve(SERVER_PORT);
  }

  startAgent(port: number): Promise<string> {
    this.servers.serveMux(port);
    return Promise.resolve("the multiplexer's guest end in this process: no agent runs");
  }

  close(): Promise<void> {
    this.ended.abort();
    this.servers.close();
    this.isClosed = true;
    this.clock.wakeAt(Number.POSITIVE_INFINITY, () => {});
    return Promise.resolve();
  }

  private required(): Online {
    if (this.online === undefined) throw new GuestError('the guest has no lease');
    return this.online;
  }

  /** @throws GuestError for what is no address on the segment: there is no routing here */
  private reachable(text: string): IpAddress {
    const { address, mask } = this.required();
    const to = parseAddress(text);
    if (to?.family !== 4 || ((to.d ^ address.d) & mask) !== 0) {
      throw new GuestError(`the simulated guest reaches only its own network, not ${text}`);
    }
    return to;
  }

  private start(lease: DhcpAnswer, prefixLen: number): void {
    const { clock } = this;
    const address = ipv4(lease.address);
    const config = {
      subnet: ipv4(lease.address & lease.mask),
      prefixLen,
      gateway: address, // a stack answers for one address of its own, which it calls so
      host: undefined,
      mtu: lease.mtu || DEFAULT_MTU,
      mac: this.nic.mac,
      verifyChecksums: true,
      tcp: {},
      separation: { mode: 'trust', allowed: [] } as const, // its only peer is the network
    };
    const stack: Stack = new Stack(config, clock.now(), cryptoRandom, this.servers, {
      afterWork: () => {
        if (this.isClosed) return;
        clock.wakeAt(stack.nextTimeout(), () => stack.onTimeout(clock.now()));
      },
      onLinkCount: () => {},
    });
    this.nic.connect(clock.now(), stack);
    this.online = { stack, address, mask: lease.mask, dns: ipv4(lease.dns) };
  }

  private askDhcp(xid: number, offer: DhcpAnswer | undefined): Promise<DhcpAnswer> {
    return this.ask<DhcpAnswer>('no answer to a DHCP message', (answer) => {
      this.nic.onDhcp = (message) => {
        const read = readDhcpAnswer(message, xid);
        if (read !== undefined && (read.type === 'offer') === (offer === undefined)) answer(read);
      };
      return () => this.nic.sendDhcp(dhcpRequest(xid, this.nic.mac, offer));
    });
  }

  /**
   * Ask again and again until there is an answer. The first wait is short: a first datagram may be lost
   * to ARP.
   *
   * @param begin listens for the answer and returns what asks once
   */
  private ask<T>(failure: string, begin: (answer: (value: T) => void) => () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const answered = new AbortController();
      const send = begin((value) => {
        answered.abort();
        resolve(value);
      });
      const signal = AbortSignal.any([answered.signal, this.ended.signal]);
      const run = async (): Promise<void> => {
        for (let tries = 0; tries < TRIES; tries++) {
          send();
          await delay(tries === 0 ? FIRST_RETRY_MS : RETRY_MS, undefined, { signal });
        }
        throw new GuestError(failure);
      };
      run().catch((error: unknown) => reject(error)); // of no effect once there is an answer
    });
  }

  /** @returns ms from the first to the last byte */
  private async exchange(
    url: string,
    method: 'GET' | 'POST',
    body: SeededStream | undefined,
    on: { onBody(bytes: Uint8Array): void; onSent(bytes: number): void },
  ): Promise<number> {
    const { stack, address } = this.required();
    const { hostname, port, pathname, search } = new URL(url);
    const lines = [
      `${method} ${pathname}${search} HTTP/1.1`,
      `Host: ${hostname}`,
      'Connection: close',
      ...(body === undefined ? [] : [`Content-Length: ${body.sizeBytes}`]),
    ];
    const head = `${lines.join('\r\n')}\r\n\r\n`;
    const id = {
      guest: this.reachable(hostname),
      guestPort: Number(port || 80),
      remote: address,
      remotePort: this.nextPort++,
    };
    const begin = performance.now();
    const exchange = new HttpExchange({ head, body, onBody: on.onBody, onSent: on.onSent });
    const flow = stack.dial(this.clock.now(), id, exchange);
    if (flow === undefined) exchange.fail('the stack takes no connection');
    stack.flush();
    const onEnd = (): void => exchange.fail('the guest was closed');
    this.ended.signal.addEventListener('abort', onEnd);
    try {
      await exchange.done;
    } catch (cause) {
      flow?.abort(this.clock.now());
      stack.flush();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new GuestError(`${method} ${url}: ${why}`, { cause });
    } finally {
      this.ended.signal.removeEventListener('abort', onEnd);
    }
    return performance.now() - begin;
  }
}

/** The guest for `openGuest`. */
export const simulate = (): EmbeddedGuest => new SimulatedGuest();

function throttled(onProgress: OnProgress): OnProgress {
  let last = performance.now();
  return (bytes) => {
    const now = performance.now();
    if (now - last < PROGRESS_EVERY_MS) return;
    last = now;
    onProgress(bytes);
  };
}
