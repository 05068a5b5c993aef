import { useNavigate } from '@tanstack/react-router'
import { Minimize2 } from 'lucide-react'
import { IconButton } from '../components/icon-button.tsx'
import { useMinute } from '../live/hooks.ts'
import { formatTick } from '../view/format.ts'
import { ConnectionMark } from './connection.tsx'
import { EnvironmentMark } from './environment.tsx'

/** What a screen on a wall shows in place of the frame: whose fleet it is, whether it is live, and the time. */
export function WallBar() {
  const navigate = useNavigate()
  const minute = useMinute()
  return (
    <div className="flex items-center gap-2" data-testid="wall-bar">
      <span className="text-[15px] font-semibold tracking-tight">Taskfleet</span>
      <EnvironmentMark />
      <span className="ml-auto text-xl font-semibold">{formatTick(minute, false)}</span>
      <ConnectionMark />
      <IconButton
        icon={Minimize2}
        label="Leave the wall mode"
        title="Leave the wall mode"
        onClick={() => void navigate({ to: '/', search: {} })}
      />
    </div>
  )
}
