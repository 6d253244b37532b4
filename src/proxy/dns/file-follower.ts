/**
 * The text of one small configuration file, now and after every change. The file may be a symbolic
 * link, may be replaced by rename, may be missing for a while; then the last text stays in effect.
 *
 * Directories are watched, as a watch on a file is lost with its inode: that of the path and that of what it links to
 * now. A slow poll of the file's state catches what no watch reports (network file systems, bind mounts). Nothing here
 * keeps the process up.
 */
import { type FSWatcher, realpathSync, unwatchFile, watch, watchFile } from 'node:fs';
import { basename, dirname } from 'node:path';
import { readOrEmpty } from '../../native/read-small-file.ts';

/** A list of a million blocked names is larger than most. */
const MAX_BYTES = 64 << 20;

export interface FileFollowerOptions {
  readonly pollMs?: number;
  /** Gives a writer that truncates first the time to write. */
  readonly settleMs?: number;
}

export class FileFollower {
  private readonly path: string;
  private readonly onText: (text: string) => void;
  private readonly settleMs: number;
  /** By the file whose directory is watched. */
  private readonly watchers = new Map<string, FSWatcher>();
  private timer: NodeJS.Timeout | undefined = undefined;
  private text: string | undefined = undefined;

  /** @param onText called before this returns, with '' when there is no file, and on each change */
  constructor(path: string, onText: (text: string) => void, options: FileFollowerOptions = {}) {
    this.path = path;
    this.onText = onText;
    this.settleMs = options.settleMs ?? 20;
    this.watch();
    // One watcher for all that follow the path: a listener for each network of the process.
    const interval = options.pollMs ?? 1000;
    watchFile(path, { persistent: false, interval }, this.onChange).setMaxListeners(0);
    this.read();
    if (this.text === undefined) onText('');
  }

  close(): void {
    clearTimeout(this.timer);
    unwatchFile(this.path, this.onChange);
    for (const watcher of this.watchers.values()) watcher.close();
    this.watchers.clear();
  }

  /** Watch the directories of the current file. */
  private watch(): void {
    const files = new Set([this.path, resolved(this.path)]);
    for (const [file, watcher] of this.watchers) {
      if (files.has(file)) continue;
      watcher.close();
      this.watchers.delete(file);
    }
    for (const file of files) if (!this.watchers.has(file)) this.watchDirectory(file);
  }

  private watchDirectory(file: string): void {
    try {
      const watcher = watch(dirname(file), { persistent: false }, (_event, name) => {
        if (name === null || name === basename(file)) this.onChange();
      });
      watcher.on('error', () => watcher.close()); // the poll goes on
      this.watchers.set(file, watcher);
    } catch {
      // No such directory, or out of inotify watches: the poll remains.
    }
  }

  private readonly onChange = (): void => {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.watch();
      this.read();
    }, this.settleMs);
    this.timer.unref();
  };

  /**
   * Read now, instead of when a change is noticed.
   *
   * @returns why it cannot be read, or undefined
   */
  read(): Error | undefined {
    let text: string;
    try {
      text = readOrEmpty(this.path, MAX_BYTES);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
    if (text === this.text) return undefined;
    this.text = text;
    this.onText(text);
    return undefined;
  }
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
