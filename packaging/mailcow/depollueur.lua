-- Only the second milter of rspamd.conf.local signs, and it does nothing else. mailcow's settings are a map that is read
-- over HTTP: a section "settings" beside it would take its place, so what the second milter may do is registered here.
-- Headers with the result are written unless they are named: those of a pass that scans nothing would take the place of the
-- first's, and the flag that brings spam into its folder would go.
local lua_settings = require("lua_settings")
local name = "depollueur-sign"
local sign = lua_settings.register_settings_id(name, {
  name = name,
  id = name,
  apply = { symbols_enabled = { "DKIM_SIGNED" }, symbols_disabled = { "MILTER_HEADERS" } },
})
rspamd_config:add_condition("DKIM_SIGNED", function(task)
  return task:get_settings_id() == sign
end)
