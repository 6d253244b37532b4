/** `hawser agent` taken into a VM, with this machine's Node. */
import { fileURLToPath } from 'node:url';
import type { MovedFile, VmExtras } from './initramfs.ts';
import { moduleFiles, withLibraries } from './program-files.ts';

export interface AgentInVm {
  /** Paths in the VM. */
  readonly node: string;
  readonly entry: string;
  readonly files: VmExtras['files'];
}

const ENTRY = fileURLToPath(new URL('../../agent/main.js', import.meta.url));
const PACKAGE = fileURLToPath(new URL('../../../../../package.json', import.meta.url));

/** Node's files in memory, twice while they are unpacked, and what it needs to run. */
export const AGENT_MIB = 384;

/** @throws Error that says what cannot be found */
export const agentInVm = (): AgentInVm => ({
  node: process.execPath,
  entry: besideAgent(ENTRY).to,
  files: [...withLibraries([process.execPath]), ...moduleFiles(ENTRY, PACKAGE).map(besideAgent)],
});

/** Where a file of hawser, or of a package that it uses, is in the VM, wherever it is on the host. */
export const besideAgent = (file: string): MovedFile => ({
  from: file,
  to: `/hawser/agent${file}`,
});
