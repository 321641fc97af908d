"""What tests share: pictures, model files, films, servers, processes, environments."""
