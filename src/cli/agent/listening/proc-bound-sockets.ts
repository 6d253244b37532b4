/** The guest's sockets that wait for peers, as /proc prints them: for a guest without native calls. */
import {
  type ListeningEntry,
  PROC_TABLES,
  parseTable,
  type TableFiles,
  type TableState,
  textOf,
} from '../../../native/listening-tables.ts';
import type { BoundSocket, BoundSockets } from '../../../native/posix.ts';
import { parseAddress } from '../../../services/address-text.ts';

interface Table {
  readonly path: string;
  readonly protocol: 'tcp' | 'udp';
  readonly state: TableState;
  text: string;
  sockets: readonly BoundSocket[];
}

const TCP: readonly string[] = ['/proc/self/net/tcp', '/proc/self/net/tcp6'];
const UDP: readonly string[] = ['/proc/self/net/udp', '/proc/self/net/udp6'];

export class ProcBoundSockets implements BoundSockets {
  private readonly files: TableFiles;
  private readonly tables: readonly Table[];
  /** Than what was handed out last. */
  private isOther = false;
  private known = new Map<string, BoundSocket>();

  constructor(withUdp: boolean, files: TableFiles = PROC_TABLES) {
    this.files = files;
    const empty = { text: '', sockets: [] };
    this.tables = [
      ...TCP.map((path): Table => ({ path, protocol: 'tcp', state: 'listening', ...empty })),
      ...(withUdp ? UDP : []).map(
        (path): Table => ({ path, protocol: 'udp', state: 'unconnected', ...empty }),
      ),
    ];
  }

  read(): readonly BoundSocket[] | 'same' | undefined {
    for (const table of this.tables) {
      const { path, protocol, state } = table;
      const text = textOf(this.files, path, state);
      if (text === undefined) return undefined;
      if (text === table.text) continue;
      this.isOther = true;
      table.text = text;
      table.sockets = parseTable(text, state).flatMap((entry) => this.socketOf(entry, protocol));
    }
    if (!this.isOther) return 'same';
    this.isOther = false;
    const all = this.tables.flatMap(({ sockets }) => sockets);
    this.known = new Map(all.map((socket) => [keyOf(socket), socket]));
    return all;
  }

  close(): void {}

  /** Of one of IPv6 it is not known whether IPv4 reaches it too; the dialler finds out. */
  private socketOf(
    { address, port, inode }: ListeningEntry,
    protocol: 'tcp' | 'udp',
  ): BoundSocket[] {
    const parsed = parseAddress(address);
    if (parsed === undefined || inode === '0') return [];
    const v6Only = address.includes(':') ? undefined : false;
    const socket = { protocol, address: parsed, port, v6Only, inode: Number(inode) };
    return [this.known.get(keyOf(socket)) ?? socket];
  }
}

const keyOf = ({ protocol, address, port, inode }: BoundSocket): string =>
  `${protocol} ${address} ${port} ${inode}`;
