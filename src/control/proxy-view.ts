/** The upstream proxies of a running network, as the control API shows and changes them. */
export interface ProxyStateView {
  /** Counts the documents of this process. 0: there was none yet. */
  readonly generation: number;
  /** As it was given, without user names and passwords. Null: there is no proxy. */
  readonly document: Readonly<Record<string, unknown>> | null;
}

export interface ProxyBook {
  state(): ProxyStateView;
  /** @throws ProxyError, and then nothing has changed */
  replace(document: unknown): Promise<ProxyStateView>;
}

/** A document that is not usable; its message has a line for each problem. */
export class ProxyError extends Error {
  override name = 'ProxyError';
  readonly code = 'ERR_HAWSER_PROXY';
}
