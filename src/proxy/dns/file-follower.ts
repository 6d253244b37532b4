/**
 * The text of one small configuration file, now and after every change. The file may be a symbolic
 * link, may be replaced by rename, may be missing for a while; then the last text stays in force.
 *
 * Directories are watched, as a watch on a file is lost with its inode; a slow stat poll catches
 * what no watch reports (network file systems, a link that moves). Nothing here keeps the process up.
 */
import { type FSWatcher, readFileSync, realpathSync, unwatchFile, watch, watchFile } from 'node:fs';
import { basename, dirname } from 'node:path';

export interface FileFollowerOptions {
  readonly pollMs?: number;
  /** Wait for a writer that truncates first to have written. */
  readonly settleMs?: number;
}

export class FileFollower {
  private readonly path: string;
  private readonly onText: (text: string) => void;
  private readonly settleMs: number;
  private readonly watchers: FSWatcher[] = [];
  private timer: NodeJS.Timeout | undefined = undefined;
  private text: string | undefined = undefined;

  /** @param onText called before this returns, with '' when there is no file, and on each change */
  constructor(path: string, onText: (text: string) => void, options: FileFollowerOptions = {}) {
    this.path = path;
    this.onText = onText;
    this.settleMs = options.settleMs ?? 20;
    for (const file of new Set([path, resolved(path)])) this.watchDirectory(file);
    watchFile(path, { persistent: false, interval: options.pollMs ?? 2000 }, this.onChange);
    this.read();
    if (this.text === undefined) onText('');
  }

  close(): void {
    clearTimeout(this.timer);
    unwatchFile(this.path, this.onChange);
    for (const watcher of this.watchers) watcher.close();
    this.watchers.length = 0;
  }

  private watchDirectory(file: string): void {
    try {
      const watcher = watch(dirname(file), { persistent: false }, (_event, name) => {
        if (name === null || name === basename(file)) this.onChange();
      });
      watcher.on('error', () => watcher.close()); // the poll goes on
      this.watchers.push(watcher);
    } catch {
      // No such directory, or out of inotify watches: the poll remains.
    }
  }

  private readonly onChange = (): void => {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.read(), this.settleMs);
    this.timer.unref();
  };

  private read(): void {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch {
      return;
    }
    if (text === this.text) return;
    this.text = text;
    this.onText(text);
  }
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
