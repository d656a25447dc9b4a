#!/bin/bash

# The hook's name begins with "postfix_", so that it runs whenever Postfix's configuration is made; its number puts it
# behind the hooks of other apps that add a milter.
hook=/usr/share/yunohost/hooks/conf_regen/999-postfix_depollueur
config=/etc/depollueur/depollueur.toml
rules=/etc/depollueur/rules.toml

# Installs the package without starting it: its configuration comes afterwards.
install_package() {
    local directory
    directory=$(mktemp -d)
    ynh_setup_source --dest_dir="$directory" --source_id=main
    ynh_hide_warnings dpkg --force-confold --install "$directory/depollueur.deb"
    ynh_safe_rm "$directory"
}

# Writes the configuration from the app's settings, tries it, and takes the old one back when it is refused.
write_config() {
    local old
    old=$(mktemp)
    [ ! -e "$config" ] || cp "$config" "$old"
    ynh_config_add --template="depollueur.toml" --destination="$config"
    [ ! -e "$rules" ] || cat "$rules" >>"$config"
    ynh_store_file_checksum "$config"
    chown root:depollueur "$config"
    chmod 0640 "$config"
    if ! depollueur check --quiet --config "$config"; then
        [ ! -s "$old" ] || cp "$old" "$config"
        ynh_die "the configuration is refused, and nothing was changed: depollueur check says why"
    fi
    ynh_safe_rm "$old"
}

# The socket stays open while the daemon restarts, so that no mail is put off. Where an admin gave mail and pages a process
# each, the units of one process would stop them.
start_daemon() {
    if systemctl --quiet is-enabled depollueur-milter.service depollueur-web.service 2>/dev/null; then
        systemctl start depollueur-milter.socket depollueur-sweep.timer
        ynh_systemctl --service=depollueur-milter --action=restart
        ynh_systemctl --service=depollueur-web --action=restart
        return
    fi
    systemctl enable --quiet depollueur.socket depollueur.service
    systemctl start depollueur.socket
    ynh_systemctl --service=depollueur --action=restart
}

# Only when the daemon is there: until then Postfix would put mail off.
plug_in() {
    cp ../conf/postfix_hook "$hook"
    yunohost tools regen-conf postfix
    ynh_systemctl --service=postfix --action=reload
}

plug_out() {
    ynh_safe_rm "$hook"
    yunohost tools regen-conf postfix
    ynh_systemctl --service=postfix --action=reload
}

set_defaults() {
    ynh_app_setting_set_default --key=mode --value="dry-run"
    ynh_app_setting_set_default --key=directions --value="outgoing"
    ynh_app_setting_set_default --key=expiry --value="1 month"
    ynh_app_setting_set_default --key=language --value="fr"
    ynh_app_setting_set_default --key=operator --value="$domain"
    ynh_app_setting_set_default --key=contact --value="abuse@$(cat /etc/yunohost/current_host)"
}

add_service() {
    yunohost service add depollueur --description="Milter and file drop that take heavy attachments out of mail" \
        --test_conf="depollueur check --quiet"
}
