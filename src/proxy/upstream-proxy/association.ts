/** One port of a guest whose datagrams a proxy relays (RFC 1928 §7): the connection that asked for it, and a socket. */
import { reportFault } from '../../base/faults.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import type { HostStream, HostStreamOwner } from '../../native/stream/host-stream.ts';
import {
  type ProxyServer,
  type ProxyTarget,
  proxyText,
} from '../../services/upstream-proxy/proxy-server.ts';
import {
  readSocksDatagram,
  SOCKS_UDP_ASSOCIATE,
  Socks5Handshake,
  type SocksPlace,
  socksDatagramHeader,
} from '../../services/upstream-proxy/socks5.ts';
import type { Guest } from '../../stack/guest.ts';
import type { FlowFacts } from '../flows/flow.ts';
import type { DatagramGate } from '../inspect/datagram-gate.ts';
import { DatagramGates } from '../inspect/datagram-gates.ts';
import type { GateShares } from '../inspect/gate-shares.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import { ConnectedSocket } from '../udp/connected-socket.ts';
import { IdleFlow } from '../udp/idle-flow.ts';
import type { SendSlot } from '../udp/send-pool.ts';
import { ProxyDial, type ProxyDialDeps } from './proxy-dial.ts';

/** Where a guest's port has sent datagrams; the last is the last. */
const MAX_TARGETS = 64;
/** Datagrams that wait for the proxy's answer. */
const MAX_WAITING = 16;
const ANYWHERE: ProxyTarget = { host: '0.0.0.0', port: 0 };

export interface AssociationTarget {
  /** As the guest knows it. */
  readonly remote: IpAddress;
  readonly port: number;
  readonly host: string;
  readonly header: Uint8Array;
}

export interface AssociationOwner {
  readonly dial: ProxyDialDeps;
  readonly gates: GateShares;
  /** @param from of the proxy's header; undefined where it is not readable */
  received(association: Association, from: SocksPlace, bytes: Uint8Array): void;
  /** There is none, or no more; what it has waiting is lost. */
  ended(association: Association, why: string): void;
  release(slot: SendSlot): void;
  odd(): void;
}

export class Association extends IdleFlow<Association> implements HostStreamOwner {
  readonly guest: IpAddress;
  readonly guestPort: number;
  /** Of the datagram that was sent last, and its gate. */
  target: AssociationTarget;
  gate: DatagramGate | undefined = undefined;
  private gates: DatagramGates | undefined = undefined;
  private readonly owned: AssociationOwner;
  private readonly server: ProxyServer;
  private readonly handshake: Socks5Handshake;
  private readonly dial: ProxyDial;
  private readonly targets = new Map<string, AssociationTarget>();
  private stream: HostStream | undefined = undefined;
  private socket: ConnectedSocket | undefined = undefined;
  private waiting: (readonly [slot: SendSlot, header: Uint8Array])[] = [];
  isClosed = false;

  constructor(
    owned: AssociationOwner,
    key: Int32Array,
    owner: Guest,
    guest: IpAddress,
    guestPort: number,
    server: ProxyServer,
    target: AssociationTarget,
  ) {
    super(key, owner);
    this.owned = owned;
    this.guest = guest;
    this.guestPort = guestPort;
    this.server = server;
    this.target = target;
    this.handshake = new Socks5Handshake(ANYWHERE, server.credentials, SOCKS_UDP_ASSOCIATE);
    this.dial = new ProxyDial(owned.dial, server, this.handshake, {
      onConnected: (stream) => this.start(stream),
      onConnectFailed: () => owned.ended(this, this.dial.failure?.text ?? 'the proxy has failed'),
    });
  }

  /** @param host a name or an address, by which the proxy is asked */
  aim(remote: IpAddress, port: number, host: string, check: NameCheck | undefined): void {
    const key = `${remote} ${port}`;
    let target = this.targets.get(key);
    if (target?.host !== host) {
      target = { remote, port, host, header: socksDatagramHeader({ host, port }) };
    }
    this.targets.delete(key);
    if (this.targets.size >= MAX_TARGETS) {
      for (const oldest of this.targets.keys()) {
        this.targets.delete(oldest);
        break;
      }
    }
    this.targets.set(key, target);
    this.target = target;
    this.gate = undefined;
    if (check === undefined) return;
    this.gates ??= new DatagramGates(this.owner, this.owned.gates, (slot) =>
      this.owned.release(slot),
    );
    this.gate = this.gates.of(remote, port, check);
  }

  /** @param slot the association's from now on */
  transmit(slot: SendSlot): void {
    this.bytesToHost += slot.len;
    this.packetsToHost++;
    const { header } = this.target;
    if (this.socket !== undefined) this.send(this.socket, slot, header);
    else if (this.waiting.length < MAX_WAITING) this.waiting.push([slot, header]);
    else this.owned.release(slot);
  }

  /** As the guest knows whom the proxy names. @returns undefined: it has sent nothing there */
  whoIs(host: string, port: number): IpAddress | undefined {
    let byName: IpAddress | undefined;
    for (const target of this.targets.values()) {
      if (target.port !== port) continue;
      if (target.host === host) return target.remote;
      if (target.host !== target.remote.toString()) byName = target.remote;
    }
    return byName;
  }

  describeFlow(): FlowFacts {
    const { remote, port } = this.target;
    return {
      guest: { address: this.guest, port: this.guestPort },
      remote: { address: remote, port },
      proxy: proxyText(this.server),
      openedBy: 'guest',
      via: 'net',
      state: this.socket === undefined ? 'connecting' : 'active',
      ...this.traffic,
    };
  }

  endFlow(): void {
    this.owned.ended(this, `${proxyText(this.server)}: it was asked to end`);
  }

  close(): void {
    this.isClosed = true;
    this.dial.cancel();
    this.gates?.close();
    for (const [slot] of this.waiting) this.owned.release(slot);
    this.waiting = [];
    this.stream?.reset();
    this.socket?.close();
  }

  onHostBytes(): boolean {
    return true; // nothing is expected there
  }

  onHostEnd(): void {
    this.owned.ended(this, 'the proxy has ended the association');
  }

  onHostWritten(): void {}

  onHostClosed(): void {
    this.onHostEnd();
  }

  private start(stream: HostStream): void {
    if (this.isClosed) {
      stream.reset();
      return;
    }
    this.stream = stream;
    const { bound } = this.handshake;
    const isPlace = bound !== undefined && /^[0-9a-f.:]+$/.test(bound.host) && !isAny(bound.host);
    const host = isPlace ? bound.host : stream.remoteAddress;
    if (host === undefined || bound === undefined || bound.port === 0) {
      this.owned.ended(this, 'the proxy does not say where it relays datagrams');
      return;
    }
    this.socket = new ConnectedSocket(host, bound.port, {
      onMessage: (bytes) => this.take(bytes),
      onFailure: () => this.owned.ended(this, 'the proxy does not relay datagrams any more'),
    });
    stream.start(this);
    const { socket, waiting } = this;
    this.waiting = [];
    for (const [slot, header] of waiting) this.send(socket, slot, header);
  }

  private take(bytes: Buffer): void {
    try {
      const from = readSocksDatagram(bytes);
      if (from === undefined) this.owned.odd();
      else this.owned.received(this, from, bytes.subarray(from.end));
    } catch (fault) {
      reportFault('socks-datagram', fault);
    }
  }

  private send(socket: ConnectedSocket, slot: SendSlot, header: Uint8Array): void {
    const bytes = new Uint8Array(header.length + slot.len);
    bytes.set(header);
    bytes.set(slot.bytes.subarray(0, slot.len), header.length);
    this.owned.release(slot);
    socket.send(bytes);
  }
}

const isAny = (host: string): boolean => host === '0.0.0.0' || host === '::';
