/** What a DHCP server warns of: each guest or list once, so many at most. */
import type { Log } from '../../base/log.ts';
import type { NameList } from '../../wire/domain-names.ts';
import type { ClientIdentity } from './lease-record.ts';

const SEARCH = 'search';
const POOL = 'pool';
const MAX_WARNED = 64;

/** What differs between the families. */
export interface WarningWords {
  readonly protocol: string;
  /** What a guest asks for, with its article. */
  readonly noAddress: string;
  /** What to do where too few are left. */
  readonly remedy: string;
}

export class DhcpWarnings {
  private readonly log: Log;
  private readonly words: WarningWords;
  /** Client identifiers and Ethernet addresses of several guests, the search list, and the pool. */
  private readonly warned = new Set<string>();

  constructor(log: Log, words: WarningWords) {
    this.log = log;
    this.words = words;
  }

  /** @param other the Ethernet address of the other guest */
  sameIdentifier({ mac, client }: ClientIdentity, other: string): void {
    if (!this.isFirst(client)) return;
    this.log.warn(
      { mac, other, client },
      'two guests have one DHCP client identifier, as clones of one image do: each has an address of its own',
    );
  }

  sameMac({ mac }: ClientIdentity): void {
    if (!this.isFirst(mac)) return;
    this.log.warn(
      { mac },
      'two guests on two links have one Ethernet address: the one with a lease keeps it, the other gets none; give each its own',
    );
  }

  /** @param len bytes of it that fit */
  longSearch({ cuts }: NameList, len: number): void {
    if (!this.isFirst(SEARCH)) return;
    const kept = cuts.filter((cut) => cut <= len).length;
    const of = cuts.length;
    this.log.warn(
      { kept, of },
      `the search list is too long for a message of ${this.words.protocol}: guests get the first ${kept} of ${of} domains`,
    );
  }

  emptyPool({ mac }: ClientIdentity): void {
    if (!this.isFirst(POOL)) return;
    this.log.warn(
      { mac },
      `a guest gets ${this.words.noAddress}: all are leased or in use; ${this.words.remedy}`,
    );
  }

  linkShare({ mac, link }: ClientIdentity): void {
    if (!this.isFirst(`link ${link}`)) return;
    this.log.warn(
      { mac },
      `a guest gets ${this.words.noAddress}: its link holds as many as one link may, so that some are left for others; ${this.words.remedy}`,
    );
  }

  /** An address was free. */
  onAddress(): void {
    this.warned.delete(POOL);
  }

  /** There is another. */
  onSearch(): void {
    this.warned.delete(SEARCH);
  }

  private isFirst(what: string): boolean {
    if (this.warned.has(what) || this.warned.size >= MAX_WARNED) return false;
    this.warned.add(what);
    return true;
  }
}
