-- /etc/rspamd/depollueur.lua: only the milter of rspamd.conf.local signs, for it comes after depollueur.
local sign = require("lua_settings").numeric_settings_id("depollueur-sign")
rspamd_config:add_condition("DKIM_SIGNED", function(task)
  return task:get_settings_id() == sign
end)
