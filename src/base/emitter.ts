type Listeners<E> = { [K in keyof E]?: Set<(event: E[K]) => void> };

/**
 * Typed events. A listener's exception does not reach the emitter: it is rethrown from a microtask, as an uncaught
 * exception of the program.
 *
 * @typeParam E events by name, with the arguments of their listeners
 */
export class Emitter<E extends object> {
  private listeners: Listeners<E> = {};

  on<K extends keyof E>(name: K, listener: (event: E[K]) => void): void {
    const listeners: Set<(event: E[K]) => void> = this.listeners[name] ?? new Set();
    this.listeners[name] = listeners.add(listener);
  }

  off<K extends keyof E>(name: K, listener: (event: E[K]) => void): void {
    this.listeners[name]?.delete(listener);
  }

  has(name: keyof E): boolean {
    return (this.listeners[name]?.size ?? 0) > 0;
  }

  emit<K extends keyof E>(name: K, event: E[K]): void {
    const listeners: Iterable<(event: E[K]) => void> = this.listeners[name] ?? [];
    for (const listener of [...listeners]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  clear(): void {
    this.listeners = {};
  }
}
