/**
 * The domains of the host's links, where resolv.conf names the servers that systemd-resolved knows rather than its stub:
 * only resolved knows which server is for which domain. Where the stub is named, it decides that itself.
 *
 * Read from the state that resolved and networkd keep: resolvectl says the same, but a daemon in its sandbox starts no
 * program. networkd's is there for all to read, resolved's for root alone. Followed by the time of the directories, in
 * which each change is a rename.
 */
import { readdirSync, realpathSync, type StatsListener, unwatchFile, watchFile } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Log } from '../../base/log.ts';
import { errorCode } from '../../native/errors.ts';
import { readSmallFile } from '../../native/read-small-file.ts';
import { type LinkState, parseLinkState } from '../../services/dns/link-state.ts';

/** Its own list of servers is beside the directory of links that programs have set up through it. */
const RESOLVED_LIST = 'resolve/resolv.conf';
const RESOLVED_LINKS = 'netif';
/** Of links that networkd has set up, below the directory of both. */
const NETWORKD_LINKS = 'netif/links';
const MAX_LINKS = 1024;
const POLL_MS = 1000;
const UNREADABLE =
  "the domains of the host's links cannot be read: their names are asked at the other servers; run as root, or name servers of domains (--dns-domain of hawser run)";

export class ResolvedLinks {
  private readonly onChange: () => void;
  private readonly pollMs: number;
  private readonly log: Log;
  private directories: readonly string[] = [];
  /** Directories of which something cannot be read. */
  private readonly told = new Set<string>();

  /** @param onChange the links may be others */
  constructor(onChange: () => void, log: Log, pollMs: number = POLL_MS) {
    this.onChange = onChange;
    this.log = log;
    this.pollMs = pollMs;
  }

  /** @returns those of the host, none where its resolver configuration is not what resolved knows of links */
  of(resolvConf: string): readonly LinkState[] {
    this.follow(directoriesFor(resolvConf));
    return this.directories.flatMap((directory) =>
      this.namesIn(directory).flatMap((name) => this.stateOf(directory, name)),
    );
  }

  close(): void {
    this.follow([]);
  }

  private follow(directories: readonly string[]): void {
    if (directories.join() === this.directories.join()) return;
    for (const directory of this.directories) unwatchFile(directory, this.onStat);
    for (const directory of directories) {
      watchFile(directory, { persistent: false, interval: this.pollMs }, this.onStat);
    }
    this.directories = directories;
  }

  private readonly onStat: StatsListener = () => this.onChange();

  private namesIn(directory: string): readonly string[] {
    try {
      const names = readdirSync(directory).filter((name) => /^\d{1,10}$/.test(name));
      return names.sort((a, b) => Number(a) - Number(b)).slice(0, MAX_LINKS);
    } catch (error) {
      this.onFailed(directory, error); // ENOENT: without networkd, or before the first link
      return [];
    }
  }

  private stateOf(directory: string, name: string): readonly LinkState[] {
    try {
      return [parseLinkState(readSmallFile(join(directory, name)))];
    } catch (error) {
      this.onFailed(directory, error); // ENOENT: it has gone
      return [];
    }
  }

  /** What is not there is nothing to say; what cannot be read is said once for each directory. */
  private onFailed(directory: string, error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    if (errorCode(cause) === 'ENOENT' || this.told.has(directory)) return;
    this.told.add(directory);
    this.log.warn({ directory, reason: cause.message }, UNREADABLE);
  }
}

function directoriesFor(resolvConf: string): readonly string[] {
  let path: string;
  try {
    path = realpathSync(resolvConf);
  } catch {
    return [];
  }
  const own = dirname(path);
  const both = dirname(own);
  if (join(basename(own), basename(path)) !== RESOLVED_LIST || basename(both) !== 'systemd') {
    return [];
  }
  return [join(own, RESOLVED_LINKS), join(both, NETWORKD_LINKS)];
}
