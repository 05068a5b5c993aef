import type { ReactNode } from 'react'
import { useTitle } from '../shell/use-title.ts'

interface Props {
  title: string
  /** Beside the title. */
  head?: ReactNode
  children: ReactNode
}

/** The frame of a page. */
export function Page({ title, head, children }: Props) {
  useTitle(title)
  return (
    <div className="mx-auto flex w-full max-w-[1400px] flex-col gap-3 p-3 sm:p-4">
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h1 className="text-base font-semibold">{title}</h1>
        {head}
      </div>
      {children}
    </div>
  )
}
