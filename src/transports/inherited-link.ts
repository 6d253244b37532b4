/** The link of a guest that was there when the process was started, and cannot come back once it is gone. */
import type { EndingLink, OpenLink } from './link-context.ts';
import type { LinkStats } from './link-stats.ts';

export class InheritedLink implements OpenLink {
  readonly description: string;
  readonly stats: LinkStats;
  private readonly link: EndingLink;
  private isGone = false;

  constructor(link: EndingLink) {
    this.link = link;
    this.description = link.description;
    this.stats = link.stats;
    void link.closed.then(() => {
      this.isGone = true;
    });
  }

  get failure(): string | undefined {
    const gone = 'its guest has closed it, and nobody can come by it again; restart hawser';
    return this.link.failure ?? (this.isGone ? gone : undefined);
  }

  close(): Promise<void> {
    return this.link.close();
  }
}
