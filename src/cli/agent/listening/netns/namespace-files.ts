import { readdirSync, statSync } from 'node:fs';
import type { NamespaceFiles } from './namespaces.ts';

/** Of this machine: namespaces are files of a file system of their own. */
export class LinuxNamespaceFiles implements NamespaceFiles {
  private readonly device: number | undefined = statOf('/proc/self/ns/net')?.dev;

  list(directory: string): readonly string[] {
    try {
      return readdirSync(directory);
    } catch {
      return [];
    }
  }

  inodeOf(path: string): number | undefined {
    const stat = statOf(path);
    return stat?.dev === this.device ? stat?.ino : undefined;
  }
}

function statOf(path: string): { readonly dev: number; readonly ino: number } | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // a process that ends
  }
}
