/**
 * The audit log: every event but queries of DNS, a line of JSON each, in the order in which they happened. What is denied is
 * of type `block`, names too; of type `verdict` is what is allowed.
 *
 * Where it is required, that line is in the file before a flow begins; a flow of which it cannot be written is refused. Otherwise what cannot be written is lost, counted and told.
 */
import type { Log } from '../../base/log.ts';
import { plainValue } from '../../base/plain-text.ts';
import { plainJson } from '../../control/events/event-ring.ts';
import {
  DEFAULT_TYPES,
  type EventType,
  type NetworkEvents,
} from '../../control/events/network-events.ts';
import type { FileClaim } from '../../native/file-claim.ts';
import type { AuditConfig } from '../config.ts';
import type { EventHub } from '../event-hub.ts';
import { AuditFile } from './audit-file.ts';

export type AuditCount = 'written' | 'lost' | 'flows-refused';

/** @returns undefined: none is wanted. @throws AuditError */
export function openAuditLog(config: AuditConfig, hub: EventHub, log: Log): AuditLog | undefined {
  const { file } = config;
  return file === undefined ? undefined : new AuditLog({ ...config, file }, hub, log);
}

export class AuditLog {
  readonly isRequired: boolean;
  private refused = 0;
  private readonly file: AuditFile;
  private readonly hub: EventHub;
  private readonly wallMs: () => number;
  private readonly ends: (() => void)[] = [];

  /** @throws AuditError */
  constructor(
    config: AuditConfig & { readonly file: string },
    hub: EventHub,
    log: Log,
    wallMs: () => number = Date.now,
  ) {
    this.hub = hub;
    this.wallMs = wallMs;
    this.isRequired = config.isRequired;
    this.file = new AuditFile({
      path: config.file,
      maxBytes: config.maxBytes,
      isSynchronous: config.isRequired,
      log,
      gapLine: (events) => this.lineOf('gap', { why: 'overrun', events }),
    });
    for (const type of DEFAULT_TYPES) this.follow(type);
    if (!config.isRequired) this.follow('verdict', ({ kind }) => kind === 'allowed');
    this.ends.push(hub.onGap((gap) => this.file.add(this.lineOf('gap', gap))));
  }

  /** Whether there is a record of a flow that is about to begin. */
  admits(verdict: object): boolean {
    if (!this.isRequired) return true;
    const line = this.lineOf('verdict', { kind: 'allowed', ...plainValue(verdict), count: 1 });
    if (this.file.writeNow(line)) return true;
    this.refused++;
    return false;
  }

  /** To be told of native calls. */
  get claim(): FileClaim {
    return this.file.claim;
  }

  /** Counters. */
  snapshot(): Readonly<Record<AuditCount, number>> {
    const { written, lost } = this.file;
    return { written, lost, 'flows-refused': this.refused };
  }

  /** A sentence, while something is wrong. */
  get problem(): string | undefined {
    const { problem, lost } = this.file;
    if (problem !== undefined) {
      const refused = this.isRequired ? ': new flows are refused' : '';
      return `The audit log cannot be written (${problem})${refused}.`;
    }
    return lost > 0 ? `The audit log has lost ${lost} records.` : undefined;
  }

  /** @throws AuditError; it goes on as it was */
  reopen(): void {
    this.file.reopen();
  }

  async close(): Promise<void> {
    for (const end of this.ends) end();
    await this.file.close();
  }

  private follow<K extends EventType>(
    type: K,
    isRecorded: (event: NetworkEvents[K]) => boolean = () => true,
  ): void {
    const listener = (event: NetworkEvents[K]): void => {
      if (isRecorded(event)) this.file.add(this.lineOf(type, event));
    };
    this.hub.on(type, listener);
    this.ends.push(() => this.hub.off(type, listener));
  }

  private lineOf(type: string, event: object): string {
    return `${plainJson({ at: new Date(this.wallMs()).toISOString(), type, ...event })}\n`;
  }
}
