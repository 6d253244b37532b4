/** What a process has given up, part by part: for people, and for those who check. */
export const SANDBOX_PARTS = [
  'user',
  'capabilities',
  'no-new-privileges',
  'files',
  'system-calls',
] as const;
export type SandboxPart = (typeof SANDBOX_PARTS)[number];

export interface PartState {
  readonly part: SandboxPart;
  readonly holds: boolean;
  /** What of it, or why not. */
  readonly detail: string;
}
