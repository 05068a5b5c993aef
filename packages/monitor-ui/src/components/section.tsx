import { type ReactNode, useId } from 'react'

interface Props {
  title: string
  /** Beside the title. */
  head?: ReactNode
  children: ReactNode
}

/** A part of a page with a heading of its own. */
export function Section({ title, head, children }: Props) {
  const id = useId()
  return (
    <section aria-labelledby={id} className="flex min-w-0 flex-col gap-2">
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h2 id={id} className="text-sm font-semibold">
          {title}
        </h2>
        {head}
      </div>
      {children}
    </section>
  )
}
