import { Link } from '@tanstack/react-router'
import { DOWNLOAD } from '../view/download-task.ts'
import { originSearch } from '../view/downloads.ts'
import { Foreign } from './foreign.tsx'

/** The tasks of all downloads from an origin. */
export function OriginLink({ origin, className }: { origin: string; className: string }) {
  return (
    <Link to="/tasks" search={{ name: DOWNLOAD, q: originSearch(origin) }} className={`${className} hover:underline`}>
      <Foreign text={origin} max={80} />
    </Link>
  )
}
