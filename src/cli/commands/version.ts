/** `hawser version`: what a report of a fault should say. */
import { createRequire } from 'node:module';
import { packageVersion } from '../../network/version.ts';
import { table } from '../text-table.ts';

/** @returns what to print */
export function versionCommand(json: boolean): string {
  const facts = {
    hawser: packageVersion(),
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    koffi: koffiVersion(),
  };
  if (json) return `${JSON.stringify(facts, undefined, 2)}\n`;
  return table(
    [],
    Object.entries(facts).map(([what, value]) => [what, value ?? 'not installed']),
  );
}

function koffiVersion(): string | null {
  try {
    const koffi: unknown = createRequire(import.meta.url)('koffi');
    const isVersioned = typeof koffi === 'object' && koffi !== null && 'version' in koffi;
    return isVersioned ? String(koffi.version) : 'installed';
  } catch {
    return null;
  }
}
