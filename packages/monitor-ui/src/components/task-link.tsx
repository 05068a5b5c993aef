import { Link } from '@tanstack/react-router'
import { Foreign } from './foreign.tsx'

/** A task's id as a link to its page. */
export function TaskLink({ id }: { id: string }) {
  return (
    <Link to="/tasks/$id" params={{ id }} className="font-mono text-xs break-all text-run hover:underline">
      <Foreign text={id} max={40} />
    </Link>
  )
}
