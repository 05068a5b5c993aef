import { Link } from '@tanstack/react-router'
import { Foreign } from './foreign.tsx'

/** A host's name as a link to its page. */
export function HostLink({ name, className = '' }: { name: string; className?: string }) {
  return (
    <Link to="/hosts/$host" params={{ host: name }} className={`hover:underline ${className}`}>
      <Foreign text={name} max={60} />
    </Link>
  )
}
