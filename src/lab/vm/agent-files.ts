/** `hawser agent` taken into a VM, with this machine's Node. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { distFile } from '../../network/own-files.ts';
import type { VmExtras } from './initramfs.ts';
import { withLibraries } from './program-files.ts';

export interface AgentInVm {
  /** Paths in the VM. */
  readonly node: string;
  readonly entry: string;
  readonly files: VmExtras['files'];
}

/** One file, which runs with Node alone. */
const AGENT = fileURLToPath(distFile('hawser-agent.mjs'));
/** A path that nothing is mounted over. */
const ENTRY = '/hawser/hawser-agent.mjs';

/** Node's files in memory, twice while they are unpacked, and what it needs to run. */
export const AGENT_MIB = 384;

/** @throws Error that says what cannot be found */
export function agentInVm(): AgentInVm {
  if (!existsSync(AGENT)) throw new Error(`no ${AGENT}: it is made by npm run build`);
  const files = [...withLibraries([process.execPath]), { from: AGENT, to: ENTRY }];
  return { node: process.execPath, entry: ENTRY, files };
}
