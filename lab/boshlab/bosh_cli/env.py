def create_env(s,a): pass
delete_env=stop_env=start_env=create_env
