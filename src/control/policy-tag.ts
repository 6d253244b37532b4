/** The ETag of a policy. */
import type { PolicyStateView } from './policy-view.ts';

/** The hash as well: generations begin anew with each process. */
export const tagOf = ({ generation, hash }: PolicyStateView): string =>
  `"${generation}-${hash.slice(0, 16)}"`;
